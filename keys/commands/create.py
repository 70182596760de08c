"""``blindfit-keys create``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.console import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    emit,
    print_table,
    read_passphrase,
    say,
)
from blindfit.home import resolve_home
from keys.commands.options import ModelOption

if TYPE_CHECKING:
    from blindfit.bundle import Bundle
    from blindfit.channel import ServerChannel
    from keys.inventory import KeyRecord
    from keys.store import KeyStore


def create(
    model: ModelOption,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create keys for a model, seal them here and register them with the server.

    A key that already serves the same crypto parameters is shared instead.
    """
    from blindfit.bundle import fetch_bundle
    from keys.commands.connection import connected, open_store
    from keys.commands.document import COLUMNS, key_document, key_row
    from keys.rotation import share_key

    folder = resolve_home(home)
    store = open_store(folder, recover=True)
    with connected(folder) as (identity, channel):
        bundle = fetch_bundle(channel, folder, identity.publisher_key, model)
        shared = share_key(store, bundle)
        if shared:
            say(f"key {shared.key_id[:12]} has the same parameters: {model} shares it")
        record = shared or _create(channel, store, bundle, passphrase_file)
    primaries = store.primaries()
    emit(
        {"key": key_document(record, primaries), "shared": shared is not None},
        as_json,
        lambda: print_table("", COLUMNS, [key_row(record, primaries)]),
    )


def _create(
    channel: ServerChannel, store: KeyStore, bundle: Bundle, passphrase_file: Path | None
) -> KeyRecord:
    from keys.commands.connection import report_step
    from keys.rotation import Means, create_key

    say(
        "The passphrase seals the keys on this machine. Nobody can reset it: if it is lost, the "
        "keys are lost,\nand with them every prediction that was encrypted for them."
    )
    passphrase = read_passphrase(passphrase_file, confirm=True)
    return create_key(Means(channel, store, bundle, passphrase), report_step)
