"""Which keysets there are, in which state, each model's primary, and who can recover them.

Immutable values and pure functions; `keys.store_manifest` is their form in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from blindfit.errors import KeyStateError
from keys.audit import START
from keys.states import KeyState, require_transition


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the store knows about a keyset without opening it; ``models`` were served by it.

    ``commitment`` (64 hex digits) is derived from the data key of the sealed file: another file
    for the same key, which anybody could make for a recovery recipient, has another.
    ``destroy_at`` (UTC, ISO 8601) and ``scheduled_from`` are set in DESTROY_SCHEDULED only: when
    the keyset will be destroyed, and the state that it has again if that is cancelled.
    """

    key_id: str
    params_id: str
    state: KeyState
    created: str
    models: tuple[str, ...]
    commitment: str
    destroy_at: str | None = None
    scheduled_from: KeyState | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """All records by key_id in order of creation, and the primary key_id by model.

    ``generation`` counts changes; ``audit_head`` is the hash of the log's line for the last one.
    ``recipients`` are the recovery recipients' public keys, in text form, by name; ``resealing``
    says that files may still be sealed for those of before.
    """

    generation: int = 0
    audit_head: str = START
    records: Mapping[str, KeyRecord] = field(default_factory=lambda: MappingProxyType({}))
    primary: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    recipients: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    resealing: bool = False

    def with_record(self, record: KeyRecord) -> Inventory:
        """The inventory with this record added or replaced."""
        return replace(self, records={**self.records, record.key_id: record})

    def with_state(self, key_id: str, state: KeyState) -> Inventory:
        """The key in a new state; raises `KeyStateError`. What is not ACTIVE is no primary.

        A key that comes back from SUSPENDED is the primary again of those of its models that have
        got no other meanwhile. DESTROY_SCHEDULED needs a time: see `with_destruction`.
        """
        record = self.records[key_id]
        require_transition(key_id, record.state, state)
        if state is KeyState.DESTROY_SCHEDULED:
            raise KeyStateError(
                f"key {key_id[:12]} needs a time at which it will be destroyed",
                hint=f"run `blindfit-keys destroy {key_id[:12]} --in 30d`",
            )
        if state is KeyState.DEACTIVATED and record.scheduled_from is KeyState.COMPROMISED:
            raise KeyStateError(
                f"key {key_id[:12]} is compromised, whatever becomes of its destruction",
                hint=f"`blindfit-keys destroy {key_id[:12]} --cancel` makes it COMPROMISED again",
            )
        if state is KeyState.ACTIVE:
            self._require_no_other_active(record)
        changed = self.with_record(
            replace(record, state=state, destroy_at=None, scheduled_from=None)
        )
        return replace(changed, primary=self._primary_after(record, state))

    def with_destruction(self, key_id: str, at: str) -> Inventory:
        """The key DESTROY_SCHEDULED for ``at``; a new time replaces the old one."""
        record = self.records[key_id]
        if record.state is KeyState.DESTROY_SCHEDULED:
            return self.with_record(replace(record, destroy_at=at))
        require_transition(key_id, record.state, KeyState.DESTROY_SCHEDULED)
        return self.with_record(
            replace(
                record,
                state=KeyState.DESTROY_SCHEDULED,
                destroy_at=at,
                scheduled_from=record.state,
            )
        )

    def without_destruction(self, key_id: str) -> Inventory:
        """The scheduled key as it was: COMPROMISED, or else DEACTIVATED (it only decrypts)."""
        record = self.records[key_id]
        if record.state is not KeyState.DESTROY_SCHEDULED:
            raise KeyStateError(
                f"key {key_id[:12]} is {record.state}: no destruction is scheduled",
                hint="run `blindfit-keys list` to see which are",
            )
        compromised = record.scheduled_from is KeyState.COMPROMISED
        return self.with_state(
            key_id, KeyState.COMPROMISED if compromised else KeyState.DEACTIVATED
        )

    def with_primary(self, model: str, key_id: str) -> Inventory:
        """The key ACTIVE and primary of ``model``; raises `KeyStateError`.

        A server has one active key for each ``params_id``, so the other models of the key's
        predecessor move with it. The key that it replaces becomes DEACTIVATED. Keys of other
        parameters stay active: other versions of a model may be served with them.
        """
        params_id = self.records[key_id].params_id
        moved = {m for m, k in self.primary.items() if self.records[k].params_id == params_id}
        models = sorted(moved | {model})
        changed = self
        old = self.active(params_id)
        if old is None or old.key_id != key_id:
            require_transition(key_id, self.records[key_id].state, KeyState.ACTIVE)
            changed = changed.with_state(old.key_id, KeyState.DEACTIVATED) if old else changed
            changed = changed.with_state(key_id, KeyState.ACTIVE)
        record = changed.records[key_id]
        kept = [m for m in record.models if m not in models]
        changed = changed.with_record(replace(record, models=(*kept, *models)))
        return replace(changed, primary={**changed.primary, **dict.fromkeys(models, key_id)})

    def active(self, params_id: str) -> KeyRecord | None:
        """The ACTIVE key of these parameters; there is at most one."""
        found = (
            r
            for r in self.records.values()
            if r.params_id == params_id and r.state is KeyState.ACTIVE
        )
        return next(found, None)

    def due(self, now: str) -> list[str]:
        """The keys whose scheduled destruction is not later than ``now`` (UTC, ISO 8601)."""
        return [k for k, r in self.records.items() if r.destroy_at and r.destroy_at <= now]

    def _require_no_other_active(self, record: KeyRecord) -> None:
        other = self.active(record.params_id)
        if other is not None and other.key_id != record.key_id:
            raise KeyStateError(
                f"key {other.key_id[:12]} is ACTIVE for the parameters of key {record.key_id[:12]}",
                hint="only one key of the same parameters can be; suspend or revoke that one first",
                details={"key_id": record.key_id, "state": str(record.state)},
            )

    def _primary_after(self, record: KeyRecord, state: KeyState) -> dict[str, str]:
        primary = {m: k for m, k in self.primary.items() if k != record.key_id}
        if state is not KeyState.ACTIVE:
            return primary
        came_back = record.models if record.state is KeyState.SUSPENDED else ()
        return {**self.primary, **{m: record.key_id for m in came_back if m not in primary}}


__all__ = ["Inventory", "KeyRecord"]
