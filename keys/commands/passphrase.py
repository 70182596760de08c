"""``blindfit-keys passphrase``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    emit,
    read_passphrase,
    say,
)
from blindfit.errors import InputError
from blindfit.home import resolve_home
from keys.commands.confirming import FingerprintOption, require_fingerprint
from keys.commands.options import NewPassphraseFileOption, RecoveryKeyOption

if TYPE_CHECKING:
    from keys.stanzas import Lock
    from keys.unlocked_store import UnlockedStore


def passphrase(
    recovery_key: RecoveryKeyOption = None,
    fingerprint: FingerprintOption = None,
    keyring: Annotated[
        bool, typer.Option("--keyring", help="Lock the keys by the OS keyring instead.")
    ] = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    new_passphrase_file: NewPassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the keys another passphrase; with a recovery key, in place of a forgotten one.

    Only the headers of the files are written anew. Copies and backups that were made before open
    with the old passphrase as before. A recovery key does not tell whose store it opens, so the
    store's fingerprint must be confirmed then.
    """
    from keys.commands.connection import unlocked_store
    from keys.unlocking import loss_warning

    if keyring and new_passphrase_file:
        raise InputError("--keyring and --new-passphrase-file exclude each other")
    if fingerprint and recovery_key is None:
        raise InputError("--fingerprint goes with --recovery-key")
    folder = resolve_home(home)
    if recovery_key is None:
        store = unlocked_store(folder, passphrase_file)
    else:
        store = _recovered(folder, recovery_key, fingerprint)
    say(loss_warning(store))
    store.change_lock(_new_lock(new_passphrase_file, keyring=keyring))
    say("Copies of the keys that were made before open with the old passphrase as before.")
    document = {"lock": store.lock_kind(), "keys": len(store.records())}
    emit(document, as_json, lambda: print(f"the keys are locked by {document['lock']}"))


def _recovered(home: Path, recovery_key: Path, noted: str | None) -> UnlockedStore:
    """The store, opened by a recovery key; opening changes files, so it is asked before."""
    from keys.commands.connection import open_store
    from keys.commands.options import read_recovery_key

    key, store = read_recovery_key(recovery_key), open_store(home)
    shown = store.fingerprint()
    require_fingerprint(shown, noted)
    opened = store.unlock(key)
    require_fingerprint(opened.fingerprint(), shown)  # not exchanged while somebody compared
    return opened


def _new_lock(file: Path | None, *, keyring: bool) -> Lock:
    from keys.os_keyring import KeyringEntry
    from keys.stanzas import Passphrase

    if keyring:
        return KeyringEntry.create()
    if file is None:
        say("The new passphrase:")
    return Passphrase(read_passphrase(file, confirm=True, option="--new-passphrase-file"))
