"""``blindfit-keys revoke``."""

from __future__ import annotations

from blindfit.console import HomeOption, JsonOption, emit, print_table
from blindfit.home import resolve_home
from keys.commands.options import KeyArgument


def revoke(key_id: KeyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Have the server refuse a key from now on, for good; here it goes on decrypting."""
    from keys.commands.connection import connected, open_store
    from keys.commands.document import COLUMNS, key_document, key_row
    from keys.rotation import revoke as revoke_key

    folder = resolve_home(home)
    store = open_store(folder, recover=True)
    key_id = store.record(key_id).key_id
    with connected(folder) as (_, channel):
        record = revoke_key(channel, store, key_id)
    primaries = store.primaries()
    emit(
        {"key": key_document(record, primaries)},
        as_json,
        lambda: print_table("", COLUMNS, [key_row(record, primaries)]),
    )
