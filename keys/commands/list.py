"""``blindfit-keys list``."""

from __future__ import annotations

from blindfit.console import HomeOption, JsonOption, emit, print_table, say
from blindfit.home import resolve_home


def list_keys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the keys of this home and their states; needs no passphrase and no server."""
    from keys.commands.connection import open_store
    from keys.commands.document import COLUMNS, key_document, key_row

    store = open_store(resolve_home(home))
    records, primaries = store.records(), store.primaries()

    def table() -> None:
        if records:
            print_table("", COLUMNS, [key_row(record, primaries) for record in records])
        else:
            say("no keys yet; run `blindfit-keys create --model MODEL`")

    document = {
        "store": store.fingerprint() if store.exists else None,
        "keys": [key_document(record, primaries) for record in records],
    }
    emit(document, as_json, table)
