"""The store's manifest: which keysets there are, in which state, and each model's primary.

Immutable values and pure functions; `keys.store` reads and writes the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from blindfit.errors import IntegrityError
from keys.audit import START
from keys.states import KeyState, require_transition

_VERSION = 1


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the store knows about a keyset without opening it; ``models`` were served by it."""

    key_id: str
    params_id: str
    state: KeyState
    created: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """All records by key_id in order of creation, and the primary key_id by model.

    ``generation`` counts changes; ``audit_head`` is the hash of the log's line for the last one.
    """

    generation: int = 0
    audit_head: str = START
    records: Mapping[str, KeyRecord] = field(default_factory=lambda: MappingProxyType({}))
    primary: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def with_record(self, record: KeyRecord) -> Inventory:
        """The inventory with this record added or replaced."""
        return replace(self, records={**self.records, record.key_id: record})

    def with_state(self, key_id: str, state: KeyState) -> Inventory:
        """The key in a new state; raises `KeyStateError`. What is not ACTIVE is no primary."""
        record = self.records[key_id]
        require_transition(key_id, record.state, state)
        primary = {m: k for m, k in self.primary.items() if k != key_id or state is KeyState.ACTIVE}
        return replace(self.with_record(replace(record, state=state)), primary=primary)

    def with_primary(self, model: str, key_id: str) -> Inventory:
        """The key ACTIVE and primary of ``model``; raises `KeyStateError`.

        A server has one active key for each ``params_id``, so the other models of the key's
        predecessor move with it. Keys that it replaces become DEACTIVATED.
        """
        params_id = self.records[key_id].params_id
        moved = {m for m, k in self.primary.items() if self.records[k].params_id == params_id}
        models = sorted(moved | {model})
        changed = self if self._is_active(key_id) else self.with_state(key_id, KeyState.ACTIVE)
        record = changed.records[key_id]
        kept = [m for m in record.models if m not in models]
        changed = changed.with_record(replace(record, models=(*kept, *models)))
        primary = {**self.primary, **dict.fromkeys(models, key_id)}
        for replaced in self._replaced(key_id):
            changed = changed.with_state(replaced, KeyState.DEACTIVATED)
        return replace(changed, primary=primary)

    def active(self, params_id: str) -> KeyRecord | None:
        """The ACTIVE key of these parameters; there is at most one."""
        found = (
            r
            for r in self.records.values()
            if r.params_id == params_id and r.state is KeyState.ACTIVE
        )
        return next(found, None)

    def _is_active(self, key_id: str) -> bool:
        return self.records[key_id].state is KeyState.ACTIVE

    def _replaced(self, key_id: str) -> list[str]:
        """ACTIVE keys of the same parameters: the server has one active key of each.

        Keys of other parameters stay active: other versions of a model may be served with them.
        """
        params_id = self.records[key_id].params_id
        return [
            k
            for k, record in self.records.items()
            if k != key_id and self._is_active(k) and record.params_id == params_id
        ]


def encode_inventory(inventory: Inventory) -> bytes:
    """The manifest's JSON."""
    document = {
        "version": _VERSION,
        "generation": inventory.generation,
        "audit_head": inventory.audit_head,
        "keys": [asdict(record) for record in inventory.records.values()],
        "primary": dict(inventory.primary),
    }
    return json.dumps(document, indent=1).encode()


def decode_inventory(content: bytes) -> Inventory:
    """The inventory in a manifest; raises `IntegrityError` if it is damaged."""
    try:
        document = json.loads(content)
        if document["version"] != _VERSION:
            raise ValueError(f"format version {document['version']} is not known")
        records = [_record(entry) for entry in document["keys"]]
        inventory = Inventory(
            generation=int(document["generation"]),
            audit_head=str(document["audit_head"]),
            records={record.key_id: record for record in records},
            primary={str(m): str(k) for m, k in document["primary"].items()},
        )
        if not set(inventory.primary.values()) <= set(inventory.records):
            raise ValueError("a primary key is not among the keys")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"the key store's manifest is damaged: {error}",
            hint="the sealed keysets are untouched; restore manifest.json from a backup",
        ) from error
    return inventory


def _record(entry: Any) -> KeyRecord:
    return KeyRecord(
        key_id=str(entry["key_id"]),
        params_id=str(entry["params_id"]),
        state=KeyState(entry["state"]),
        created=str(entry["created"]),
        models=tuple(str(model) for model in entry["models"]),
    )


__all__ = ["Inventory", "KeyRecord", "decode_inventory", "encode_inventory"]
