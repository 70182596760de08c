"""The key store: sealed keysets, their states, and the primary of each model.

Keysets are immutable files; everything that changes is in one small manifest, replaced atomically
under a lock that works between processes. Nothing here needs a passphrase but `create` and `open`.

Order of writes, so that a crash at any point loses no keyset: a keyset's file before its record; a
tombstone before the file goes; the log's line before the manifest that names it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

from blindfit.errors import KeyStateError, NotFoundError, SealError
from blindfit.files import write_atomic
from keys.audit import AuditLog
from keys.inventory import Inventory, KeyRecord, decode_inventory, encode_inventory
from keys.keyset import Keyset
from keys.lock import exclusive
from keys.private import read_private, require_private_folder
from keys.sealed_files import SealedFiles
from keys.stanzas import Argon2Cost, Passphrase
from keys.states import KeyState, require_secret, require_transition

Change = Callable[[Inventory], Inventory]


class KeyStore:
    """The store in ``root`` (``<home>/keys``); ``cost`` is what new passphrase stanzas take."""

    def __init__(self, root: Path, *, cost: Argon2Cost | None = None):
        self._root = root
        self._cost = cost or Argon2Cost()
        self._files = SealedFiles(root / "keysets")
        self.audit = AuditLog(root / "audit.jsonl")

    # -- reading ---------------------------------------------------------------------------------

    def records(self) -> list[KeyRecord]:
        """Every keyset, tombstones included, in order of creation."""
        return list(self._inventory().records.values())

    def record(self, key_id: str) -> KeyRecord:
        """The keyset with this key_id or unique prefix of it; raises `NotFoundError`."""
        found = [r for r in self.records() if key_id and r.key_id.startswith(key_id)]
        if len(found) == 1:
            return found[0]
        known = "is not unique; give more digits" if found else "is not in the store"
        raise NotFoundError(f"key {key_id!r} {known}", hint="run `blindfit-keys list`")

    def primary(self, model: str) -> KeyRecord | None:
        """The key that encrypts for ``model``, if there is one."""
        inventory = self._inventory()
        key_id = inventory.primary.get(model)
        return inventory.records[key_id] if key_id else None

    def primaries(self) -> dict[str, str]:
        """The primary's key_id by model."""
        return dict(self._inventory().primary)

    def active(self, params_id: str) -> KeyRecord | None:
        """The ACTIVE key of these crypto parameters, if there is one."""
        return self._inventory().active(params_id)

    def open(self, key_id: str, passphrase: bytes) -> Keyset:
        """The opened keyset, by key_id or unique prefix.

        Raises `KeyStateError` for a destroyed one, `PassphraseError`, `SealError`, `AccessError`.
        """
        record = self.record(key_id)
        require_secret(record.key_id, record.state)
        return self._files.open(record.key_id, Passphrase(passphrase))

    # -- changing --------------------------------------------------------------------------------

    def create(self, keyset: Keyset, passphrase: bytes, *, model: str) -> KeyRecord:
        """Seal a new keyset under ``passphrase`` and keep it as PRE_ACTIVE for ``model``."""
        with self._locked():
            self._files.write(keyset, [Passphrase(passphrase, self._cost)])
            record = KeyRecord(
                key_id=keyset.key_id,
                params_id=keyset.params_id,
                state=KeyState.PRE_ACTIVE,
                created=keyset.created,
                models=(model,),
            )
            self._commit(lambda inventory: inventory.with_record(record))
        return record

    def promote(self, model: str, key_id: str) -> KeyRecord:
        """Make a key ACTIVE and the primary of ``model``; again is harmless.

        The other models of its predecessor move with it; a key that serves none any more becomes
        DEACTIVATED, which decrypts only.
        """
        key_id = self.record(key_id).key_id
        with self._locked():
            self._commit(lambda inventory: inventory.with_primary(model, key_id))
        return self.record(key_id)

    def transition(self, key_id: str, state: KeyState) -> KeyRecord:
        """Move a key to another state; raises `KeyStateError` that says what is allowed."""
        key_id = self.record(key_id).key_id
        with self._locked():
            self._commit(lambda inventory: inventory.with_state(key_id, state))
        return self.record(key_id)

    def destroy(self, key_id: str) -> KeyRecord:
        """Erase a keyset for good; its record stays as a tombstone. Raises `KeyStateError`."""
        key_id = self.record(key_id).key_id
        with self._locked():
            self._commit(lambda inventory: inventory.with_state(key_id, KeyState.DESTROYED))
            self._files.erase(key_id)
        return self.record(key_id)

    def require_destroyable(self, key_id: str) -> KeyRecord:
        """The record, if `destroy` would be allowed; raises `KeyStateError` otherwise."""
        record = self.record(key_id)
        if record.state in {KeyState.ACTIVE, KeyState.SUSPENDED}:
            raise KeyStateError(
                f"key {record.key_id[:12]} is {record.state}: it must not be destroyed",
                hint=f"rotate it, or run `blindfit-keys revoke {record.key_id[:12]}`, before",
            )
        require_transition(record.key_id, record.state, KeyState.DESTROYED)
        return record

    def recover(self) -> None:
        """Finish what dead processes left: temporary files, half-made or half-destroyed keysets."""
        if not self._root.is_dir():
            return
        with self._locked():
            self._files.sweep()
            for path in self._root.glob(".*.tmp"):
                path.unlink()  # written under the lock only, so its writer is dead
            self._adopt_unrecorded()
            self._erase_destroyed()

    # -- inside ----------------------------------------------------------------------------------

    def _locked(self) -> AbstractContextManager[None]:
        return exclusive(require_private_folder(self._root) / "lock")

    def _inventory(self) -> Inventory:
        if not self._root.exists() and not self._root.is_symlink():
            return Inventory()
        require_private_folder(self._root)
        try:
            return decode_inventory(read_private(self._root / "manifest.json"))
        except FileNotFoundError:
            return Inventory()

    def _commit(self, change: Change) -> None:
        old = self._inventory()
        new = change(old)
        head = old.audit_head
        for record in new.records.values():
            before = old.records.get(record.key_id)
            if before is None or before.state is not record.state:
                head = self.audit.append("key", **_transition(before, record))
        for model, key_id in new.primary.items():
            if old.primary.get(model) != key_id:
                head = self.audit.append("primary", model=model, key_id=key_id)
        if new != old:
            new = replace(new, generation=old.generation + 1, audit_head=head)
            write_atomic(self._root / "manifest.json", encode_inventory(new))

    def _adopt_unrecorded(self) -> None:
        for key_id in self._files.key_ids() - set(self._inventory().records):
            with suppress(SealError):  # a damaged file stays as it is: it may be evidence
                self._adopt(key_id)

    def _adopt(self, key_id: str) -> None:
        description = self._files.describe(key_id)
        record = KeyRecord(
            key_id=key_id,
            params_id=description.params_id,
            state=KeyState.PRE_ACTIVE,
            created=description.created,
            models=(),
        )
        self._commit(lambda inventory: inventory.with_record(record))

    def _erase_destroyed(self) -> None:
        for record in self.records():
            if record.state is KeyState.DESTROYED:
                self._files.erase(record.key_id)


def _transition(before: KeyRecord | None, after: KeyRecord) -> dict[str, str | None]:
    return {
        "key_id": after.key_id,
        "from": str(before.state) if before else None,
        "to": str(after.state),
    }


__all__ = ["KeyRecord", "KeyStore"]
