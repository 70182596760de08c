"""``blindfit-keys compromised``."""

from __future__ import annotations

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
from blindfit.home import resolve_home
from keys.commands.options import KeyArgument

if TYPE_CHECKING:
    from pathlib import Path

    from blindfit.channel import ServerChannel
    from keys.compromise import Contained
    from keys.identity import Identity
    from keys.inventory import KeyRecord
    from keys.unlocked_store import UnlockedStore

OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Only mark the key here; the server cannot be reached.")
]


def compromised(
    key_id: KeyArgument,
    offline: OfflineOption = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Somebody else may have a key: the server refuses it, its models get another one.

    Run it again if it was stopped. It says what nobody can take back.
    """
    from keys.commands.connection import open_store
    from keys.commands.document import COLUMNS, key_document, key_row

    folder = resolve_home(home)
    record = open_store(folder).record(key_id)
    act = _mark_offline if offline else _contain_and_replace
    marked, new = act(folder, passphrase_file, record)
    _say_what_stays(marked)
    primaries = open_store(folder).primaries()
    records = [each for each in (marked, new) if each]
    emit(
        {
            "key": key_document(marked, primaries),
            "new": key_document(new, primaries) if new else None,
            "refused_by_server": not offline,
        },
        as_json,
        lambda: print_table("", COLUMNS, [key_row(each, primaries) for each in records]),
    )


def _contain_and_replace(
    home: Path, passphrase_file: Path | None, record: KeyRecord
) -> tuple[KeyRecord, KeyRecord | None]:
    from keys.commands.connection import connected, unlocked_store
    from keys.compromise import contain

    with connected(home) as (identity, channel):
        store, contained = contain(
            channel, record, lambda: unlocked_store(home, passphrase_file), say
        )
        if not contained.models:
            return contained.record, None
        new = _replace(home, identity, channel, store, contained)
    return store.record(record.key_id), new


def _replace(
    home: Path,
    identity: Identity,
    channel: ServerChannel,
    store: UnlockedStore,
    contained: Contained,
) -> KeyRecord:
    from blindfit.bundle import fetch_bundle
    from keys.commands.connection import report_step
    from keys.commands.rotate_many import fitting_bundle
    from keys.compromise import replace_key
    from keys.means import Means

    bundle = fitting_bundle(
        lambda model: fetch_bundle(channel, home, identity.publisher_key, model),
        contained.record,
        contained.models,
    )
    return replace_key(Means(channel, store, bundle), contained, report_step)


def _mark_offline(
    home: Path, passphrase_file: Path | None, record: KeyRecord
) -> tuple[KeyRecord, KeyRecord | None]:
    from keys.commands.connection import unlocked_store
    from keys.compromise import mark

    store = unlocked_store(home, passphrase_file)
    contained = mark(store, store.record(record.key_id))
    say(
        f"marked here only. THE SERVER STILL COMPUTES WITH IT: ask the operator for "
        f"`blindfit-server keys revoke TENANT {record.key_id[:12]}`,\nand run this again without "
        "--offline when the server can be reached, for a new key."
    )
    return contained.record, None


def _say_what_stays(record: KeyRecord) -> None:
    from keys.compromise import what_stays_readable

    say(what_stays_readable(record))
