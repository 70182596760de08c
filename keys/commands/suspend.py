"""``blindfit-keys suspend``."""

from __future__ import annotations

from typing import Annotated

import typer

from blindfit.console import HomeOption, JsonOption, PassphraseFileOption, say
from blindfit.home import resolve_home
from keys.commands.options import KeyArgument


def suspend(
    key_id: KeyArgument,
    lift: Annotated[bool, typer.Option("--lift", help="Use the key again.")] = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a key aside: nothing is encrypted with it on this machine until --lift.

    The server is not told, and the key goes on decrypting; `revoke` is for good.
    """
    from keys.commands.connection import open_store, unlocked_store
    from keys.commands.document import emit_key
    from keys.states import KeyState

    folder = resolve_home(home)
    key_id = open_store(folder).record(key_id).key_id
    store = unlocked_store(folder, passphrase_file)
    record = store.transition(key_id, KeyState.ACTIVE if lift else KeyState.SUSPENDED)
    if not lift:
        say(f"`blindfit-keys suspend {key_id[:12]} --lift` puts it to use again.")
    emit_key(record, store.primaries(), as_json)
