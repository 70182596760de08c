"""``blindfit-keys revoke``."""

from __future__ import annotations

from blindfit.console import HomeOption, JsonOption, PassphraseFileOption
from blindfit.home import resolve_home
from keys.commands.options import KeyArgument


def revoke(
    key_id: KeyArgument,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the server refuse a key from now on, for good; here it goes on decrypting."""
    from keys.commands.connection import connected, open_store, unlocked_store
    from keys.commands.document import emit_key
    from keys.rotation import revoke as revoke_key

    folder = resolve_home(home)
    key_id = open_store(folder).record(key_id).key_id
    # Opened before the server is asked: a wrong passphrase must not leave the two in two states.
    store = unlocked_store(folder, passphrase_file)
    with connected(folder) as (_, channel):
        record = revoke_key(channel, store, key_id)
    emit_key(record, store.primaries(), as_json)
