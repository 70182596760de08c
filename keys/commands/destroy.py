"""``blindfit-keys destroy``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import HomeOption, JsonOption, PassphraseFileOption, say
from blindfit.errors import InputError
from blindfit.home import resolve_home
from keys.commands.options import KeyArgument

if TYPE_CHECKING:
    from keys.inventory import KeyRecord
    from keys.unlocked_store import UnlockedStore


def destroy(
    key_id: KeyArgument,
    delay: Annotated[
        str | None,
        typer.Option(
            "--in", help="After this time (30d, 12h), in which --cancel helps.", show_default="30d"
        ),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="At once and for good.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Keep a scheduled key.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --now: do not ask.")] = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a key's secrets, in 30 days unless said otherwise; until then it still decrypts.

    A key in use must be rotated or revoked before.
    """
    from keys.commands.connection import open_store, unlocked_store
    from keys.commands.document import emit_key

    if (delay is not None) + now + cancel > 1:
        raise InputError("--in, --now and --cancel exclude each other")
    folder = resolve_home(home)
    record = open_store(folder).record(key_id)
    if now:
        _confirm(record, yes)
    store = unlocked_store(folder, passphrase_file)
    if cancel:
        record = store.cancel_destruction(record.key_id)
    elif now:
        record = store.destroy(record.key_id)
    else:
        record = _schedule(store, record, delay)
    emit_key(record, store.primaries(), as_json)


def _schedule(store: UnlockedStore, record: KeyRecord, delay: str | None) -> KeyRecord:
    from blindfit.durations import parse_duration
    from keys.destruction import DEFAULT_DELAY, after, require_schedulable

    at = after(parse_duration(delay) if delay else DEFAULT_DELAY)
    require_schedulable(record)
    record = store.schedule_destruction(record.key_id, at)
    say(
        f"Key {record.key_id[:12]} will be destroyed when the keys are used after "
        f"{record.destroy_at}.\n"
        f"Until then `blindfit-keys destroy {record.key_id[:12]} --cancel` keeps it."
    )
    return record


def _confirm(record: KeyRecord, yes: bool) -> None:
    from keys.destruction import require_destroyable

    require_destroyable(record)
    models = ", ".join(record.models) or "no model yet"
    say(
        f"Key {record.key_id} (created {record.created}, for {models}) will be erased.\n"
        "Whatever is encrypted for it becomes unreadable, for you too, unless there is a backup."
    )
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("no terminal to ask on", hint="pass --yes to destroy without asking")
    if not typer.confirm("Destroy it?", err=True):
        raise InputError("not confirmed; nothing was destroyed")
