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
from keys.commands.options import NewPassphraseFileOption, RecoveryKeyOption

if TYPE_CHECKING:
    from keys.stanzas import Lock
    from keys.unlocked_store import UnlockedStore


def passphrase(
    recovery_key: RecoveryKeyOption = None,
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
    with the old passphrase as before.
    """
    from keys.unlocking import loss_warning

    if keyring and new_passphrase_file:
        raise InputError("--keyring and --new-passphrase-file exclude each other")
    store = _unlock(resolve_home(home), passphrase_file, recovery_key)
    say(loss_warning(store))
    store.change_lock(_new_lock(new_passphrase_file, keyring=keyring))
    say("Copies of the keys that were made before open with the old passphrase as before.")
    document = {"lock": store.lock_kind(), "keys": len(store.records())}
    emit(document, as_json, lambda: print(f"the keys are locked by {document['lock']}"))


def _unlock(home: Path, passphrase_file: Path | None, recovery_key: Path | None) -> UnlockedStore:
    from keys.commands.connection import open_store, unlocked_store
    from keys.commands.options import read_recovery_key

    if recovery_key is None:
        return unlocked_store(home, passphrase_file)
    store = open_store(home).unlock(read_recovery_key(recovery_key))
    say(f"Opened by the recovery key. Is this your store's fingerprint? {store.fingerprint()}")
    return store


def _new_lock(file: Path | None, *, keyring: bool) -> Lock:
    from keys.os_keyring import KeyringEntry
    from keys.stanzas import Passphrase

    if keyring:
        return KeyringEntry.create()
    if file is None:
        say("The new passphrase:")
    return Passphrase(read_passphrase(file, confirm=True))
