"""``blindfit-keys create``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    emit,
    print_table,
    say,
)
from blindfit.errors import InputError
from blindfit.home import resolve_home
from keys.commands.options import ModelOption

if TYPE_CHECKING:
    from blindfit.bundle import Bundle
    from blindfit.channel import ServerChannel
    from keys.inventory import KeyRecord
    from keys.unlocked_store import UnlockedStore

ParamsOfOption = Annotated[
    str | None,
    typer.Option("--params-of", help="Share this model's key; refused if it does not fit."),
]
KeyringOption = Annotated[
    bool,
    typer.Option("--keyring", help="Lock the keys by the OS keyring, not by a passphrase."),
]


def create(
    model: ModelOption,
    params_of: ParamsOfOption = None,
    keyring: KeyringOption = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create keys for a model, seal them here and register them with the server.

    A key that already serves the same crypto parameters is shared instead. What was stopped is
    gone on with.
    """
    from blindfit.bundle import fetch_bundle
    from keys.commands.connection import connected
    from keys.commands.document import COLUMNS, key_document, key_row
    from keys.sharing import share_key

    folder = resolve_home(home)
    with connected(folder) as (identity, channel):
        bundle = fetch_bundle(channel, folder, identity.publisher_key, model)
        store = _open(folder, passphrase_file, keyring)
        shared = share_key(store, bundle, params_of=params_of)
        if shared:
            say(f"key {shared.key_id[:12]} has the same parameters: {model} shares it")
        record = shared or _create(channel, store, bundle)
    primaries = store.primaries()
    emit(
        {"key": key_document(record, primaries), "shared": shared is not None},
        as_json,
        lambda: print_table("", COLUMNS, [key_row(record, primaries)]),
    )


def _open(home: Path, passphrase_file: Path | None, keyring: bool) -> UnlockedStore:
    from keys.commands.confirming import note_fingerprint
    from keys.commands.connection import open_store, unlocked_store
    from keys.os_keyring import KIND, KeyringEntry
    from keys.unlocking import loss_warning

    store = open_store(home)
    if keyring and store.exists and store.lock_kind() != KIND:
        raise InputError(
            "the keys of this home are locked by a passphrase",
            hint="run `blindfit-keys passphrase --keyring` to lock them by the OS keyring",
        )
    is_new = not store.exists
    if keyring and is_new:
        opened = store.initialize(KeyringEntry.create())
        say(loss_warning(opened))
    else:
        say(loss_warning(store))
        opened = unlocked_store(home, passphrase_file, create=True)
    if is_new:
        say(note_fingerprint(opened.fingerprint()))
    return opened


def _create(channel: ServerChannel, store: UnlockedStore, bundle: Bundle) -> KeyRecord:
    from keys.commands.connection import report_step
    from keys.means import Means
    from keys.rotation import create_key

    return create_key(Means(channel, store, bundle), report_step)
