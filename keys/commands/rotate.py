"""``blindfit-keys rotate``."""

from __future__ import annotations

from blindfit.console import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    emit,
    print_table,
    read_passphrase,
)
from blindfit.home import resolve_home
from keys.commands.options import ModelOption


def rotate(
    model: ModelOption,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a model's key by a new one; predictions that run meanwhile do not fail.

    The old key goes on decrypting until it is destroyed. A rotation that was stopped is resumed.
    """
    from blindfit.bundle import fetch_bundle
    from keys.commands.connection import connected, open_store, report_step
    from keys.commands.document import COLUMNS, key_row
    from keys.rotation import Means
    from keys.rotation import rotate as run_rotation

    folder = resolve_home(home)
    store = open_store(folder, recover=True)
    with connected(folder) as (identity, channel):
        bundle = fetch_bundle(channel, folder, identity.publisher_key, model)
        passphrase = read_passphrase(passphrase_file)
        rotated = run_rotation(Means(channel, store, bundle, passphrase), report_step)
    primaries = store.primaries()
    emit(
        {
            "model": model,
            "old_key_id": rotated.old.key_id,
            "new_key_id": rotated.new.key_id,
        },
        as_json,
        lambda: print_table(
            "", COLUMNS, [key_row(record, primaries) for record in (rotated.new, rotated.old)]
        ),
    )
