"""What the audit log says about the step from one inventory to the next."""

from __future__ import annotations

from collections.abc import Iterator

from keys.audit import Event
from keys.inventory import Inventory, KeyRecord


def describe_changes(old: Inventory, new: Inventory) -> list[Event]:
    """An event for every transition, primary and recovery recipient that is new or gone."""
    return [*_transitions(old, new), *_primaries(old, new), *_recipients(old, new)]


def _transitions(old: Inventory, new: Inventory) -> Iterator[Event]:
    for record in new.records.values():
        before = old.records.get(record.key_id)
        if before is None or _position(before) != _position(record):
            event: dict[str, str | int | None] = {
                "event": "key",
                "key_id": record.key_id,
                "from": str(before.state) if before else None,
                "to": str(record.state),
            }
            yield {**event, "destroy_at": record.destroy_at} if record.destroy_at else event


def _position(record: KeyRecord) -> tuple[str, str | None]:
    return record.state, record.destroy_at


def _primaries(old: Inventory, new: Inventory) -> Iterator[Event]:
    for model, key_id in new.primary.items():
        if old.primary.get(model) != key_id:
            yield {"event": "primary", "model": model, "key_id": key_id}


def _recipients(old: Inventory, new: Inventory) -> Iterator[Event]:
    for name, public in new.recipients.items():
        if old.recipients.get(name) != public:
            yield {"event": "recipient added", "name": name, "public": public}
    for name in old.recipients.keys() - new.recipients.keys():
        yield {"event": "recipient removed", "name": name}


__all__ = ["describe_changes"]
