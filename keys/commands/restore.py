"""``blindfit-keys restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit, print_table, read_passphrase, say
from blindfit.errors import InputError
from blindfit.home import resolve_home
from keys.commands.confirming import FingerprintOption, require_fingerprint
from keys.commands.options import NewPassphraseFileOption, read_recovery_key

if TYPE_CHECKING:
    from keys.unlocked_store import UnlockedStore


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of the backup.")],
    recovery_key: Annotated[
        Path, typer.Option("--recovery-key", help="A recovery key file that the backup is for.")
    ],
    fingerprint: FingerprintOption = None,
    home: HomeOption = None,
    new_passphrase_file: NewPassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a home without keys, under a new passphrase: all of it, or nothing.

    Asks whether the backup is of your store, by its fingerprint. The keys are in the states that
    they had. The identity towards the server is not in a backup: enroll this machine with a new
    invitation, then run `blindfit-keys verify`.
    """
    from keys.commands.document import COLUMNS, key_document, key_row

    folder = resolve_home(home)
    store = _restore(folder, file, recovery_key, new_passphrase_file, fingerprint)
    say("Next: `blindfit-keys verify` (on a new machine, `blindfit-client enroll` before).")
    records, primaries = store.records(), store.primaries()
    document = {
        "store": store.fingerprint(),
        "keys": [key_document(record, primaries) for record in records],
    }
    rows = [key_row(record, primaries) for record in records]
    emit(document, as_json, lambda: print_table("", COLUMNS, rows))


def _restore(
    home: Path, file: Path, key_file: Path, new_file: Path | None, noted: str | None
) -> UnlockedStore:
    from keys.restoring import require_no_keys, restore_backup
    from keys.stanzas import Passphrase
    from keys.store import KeyStore

    require_no_keys(KeyStore.of(home).root)  # before anything is asked
    recovery_key = read_recovery_key(key_file)
    if new_file is None:
        say("The passphrase that shall lock the keys on this machine:")
    lock = Passphrase(read_passphrase(new_file, confirm=True, option="--new-passphrase-file"))
    try:
        source = file.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    with source:
        return restore_backup(
            home,
            source,
            recovery_key,
            lock,
            confirm=lambda found: require_fingerprint(found, noted),
        )
