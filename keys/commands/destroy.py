"""``blindfit-keys destroy``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit, print_table, say
from blindfit.errors import InputError
from blindfit.home import resolve_home
from keys.commands.options import KeyArgument

if TYPE_CHECKING:
    from keys.inventory import KeyRecord


def destroy(
    key_id: KeyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a key's secrets for good; a key in use must be rotated or revoked before."""
    from keys.commands.connection import open_store
    from keys.commands.document import COLUMNS, key_document, key_row

    store = open_store(resolve_home(home), recover=True)
    record = store.require_destroyable(key_id)
    _confirm(record, yes)
    record = store.destroy(record.key_id)
    primaries = store.primaries()
    emit(
        {"key": key_document(record, primaries)},
        as_json,
        lambda: print_table("", COLUMNS, [key_row(record, primaries)]),
    )


def _confirm(record: KeyRecord, yes: bool) -> None:
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
