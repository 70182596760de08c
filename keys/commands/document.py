"""How a key is shown: its JSON, and its row in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blindfit.console import emit, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keys.inventory import KeyRecord

COLUMNS = ["key_id", "state", "primary of", "created", "params_id"]
_SHORT = 12  # digits of a digest that tell keys apart at a glance, and are accepted as arguments
_DATE = 10  # characters of a time


def key_document(record: KeyRecord, primaries: Mapping[str, str]) -> dict[str, Any]:
    """A key as JSON; ``primary_of`` are the models that encrypt with it."""
    return {
        "key_id": record.key_id,
        "state": str(record.state),
        "primary_of": _primary_of(record, primaries),
        "models": list(record.models),
        "created": record.created,
        "destroy_at": record.destroy_at,
        "params_id": record.params_id,
    }


def key_row(record: KeyRecord, primaries: Mapping[str, str]) -> list[str]:
    """A key as a row under `COLUMNS`."""
    due = f" ({record.destroy_at[:_DATE]})" if record.destroy_at else ""
    return [
        record.key_id[:_SHORT],
        f"{record.state}{due}",
        ", ".join(_primary_of(record, primaries)) or "–",
        record.created,
        record.params_id[:_SHORT],
    ]


def emit_key(record: KeyRecord, primaries: Mapping[str, str], as_json: bool) -> None:
    """The key that a command changed, as the command's result."""
    emit(
        {"key": key_document(record, primaries)},
        as_json,
        lambda: print_table("", COLUMNS, [key_row(record, primaries)]),
    )


def _primary_of(record: KeyRecord, primaries: Mapping[str, str]) -> list[str]:
    return [model for model, key_id in primaries.items() if key_id == record.key_id]


__all__ = ["COLUMNS", "emit_key", "key_document", "key_row"]
