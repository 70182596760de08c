"""The key store, opened: everything that uses or changes keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from blindfit.errors import AccessError, InputError, NotFoundError, SealError
from blindfit.files import sweep_temporary
from keys.backup import Snapshot, write_backup
from keys.destruction import format_moment
from keys.inventory import Inventory, KeyRecord
from keys.keyset import Keyset
from keys.opened_store import OpenedStore
from keys.private import read_private
from keys.recovery import RecoveryRecipient
from keys.resealing import all_open, require_new_name, those_that_open
from keys.stanzas import Lock, Opener, Recipient
from keys.states import KeyState, require_secret
from keys.store import AUDIT_FILE, MANIFEST_FILE
from keys.wiping import wiped


class UnlockedStore(OpenedStore):
    """The store in ``root``, opened by ``opener``; made by `KeyStore.unlock`.

    Opening it finishes what dead processes left, and destroys what is due. With a recovery key it
    does the same, except for what seals for the lock: creating keys and changing recipients need
    the lock itself, or a new one (`change_lock`).
    """

    def __init__(self, root: Path, opener: Opener):
        super().__init__(root, opener)
        with self._locked():
            self._require_agreement()
            self._recover()

    # -- using -----------------------------------------------------------------------------------

    def open(self, key_id: str) -> Keyset:
        """The opened keyset, by key_id or unique prefix.

        Raises `NotFoundError`, `KeyStateError` for a destroyed one, `SealError`, `AccessError`.
        """
        record = self.record(key_id)
        require_secret(record.key_id, record.state)
        if self._opened_by_lock():
            return self._files.open(record.key_id, self._opener)
        key_id, commitment = record.key_id, record.commitment
        with wiped(self._files.committed_data_key(key_id, self._opener, commitment)) as data_key:
            return self._files.open(key_id, self._files.opener_of(key_id, data_key))

    def back_up(self, file: BinaryIO, recipients: Sequence[Recipient]) -> int:
        """Write everything to ``file``, for ``recipients``; returns the number of keysets.

        Raises `SealError` or `AccessError` for a keyset that does not open.
        """
        with self._locked():
            self._commit(lambda inventory: inventory, {"event": "backup"})
            kept = self._kept()
            snapshot = Snapshot(
                seed=self._seed,
                manifest=read_private(self.root / MANIFEST_FILE),
                audit=read_private(self.root / AUDIT_FILE),
                records=kept,
                files=self._files,
                opener=self._opener,
            )
            write_backup(file, snapshot, recipients)
        return len(kept)

    # -- changing --------------------------------------------------------------------------------

    def create(self, keyset: Keyset, *, model: str) -> KeyRecord:
        """Seal a new keyset for the lock and the recovery recipients; PRE_ACTIVE for ``model``."""
        with self._locked():
            self._files.write(keyset, [self._lock(), *self._recovery()])
            record = KeyRecord(
                key_id=keyset.key_id,
                params_id=keyset.params_id,
                state=KeyState.PRE_ACTIVE,
                created=keyset.created,
                models=(model,),
                commitment=self._files.commitment(keyset.key_id, self._opener),
            )
            self._commit(lambda inventory: inventory.with_record(record))
        return record

    def promote(self, model: str, key_id: str) -> KeyRecord:
        """Make a key ACTIVE and the primary of ``model``; again is harmless.

        The other models of its predecessor move with it; a key that serves none any more becomes
        DEACTIVATED, which decrypts only.
        """
        return self._change(key_id, lambda inventory, key: inventory.with_primary(model, key))

    def transition(self, key_id: str, state: KeyState) -> KeyRecord:
        """Move a key to another state; raises `KeyStateError` that says what is allowed."""
        return self._change(key_id, lambda inventory, key: inventory.with_state(key, state))

    def schedule_destruction(self, key_id: str, at: datetime) -> KeyRecord:
        """Destroy a key when the store is opened at ``at`` (with a time zone) or later."""
        moment = format_moment(at)
        return self._change(key_id, lambda inventory, key: inventory.with_destruction(key, moment))

    def cancel_destruction(self, key_id: str) -> KeyRecord:
        """Keep a scheduled key; it decrypts as before. Raises `KeyStateError`."""
        return self._change(key_id, lambda inventory, key: inventory.without_destruction(key))

    def destroy(self, key_id: str) -> KeyRecord:
        """Erase a keyset for good; its record stays as a tombstone. Raises `KeyStateError`."""
        key_id = self.record(key_id).key_id
        with self._locked():
            self._commit(lambda inventory: inventory.with_state(key_id, KeyState.DESTROYED))
            self._files.erase(key_id)
        return self.record(key_id)

    # -- who can open it -------------------------------------------------------------------------

    def add_recipient(self, name: str, recipient: RecoveryRecipient) -> None:
        """Seal every keyset for a recovery recipient too; a crash is made good by opening again."""
        with self._locked():
            known = self._inventory().recipients
            require_new_name(name, known)
            _require_new_recipient(recipient, known)
            self._change_recipients({**known, name: str(recipient)})

    def remove_recipient(self, name: str) -> None:
        """Seal every keyset without a recovery recipient; copies made before open as before."""
        with self._locked():
            known = dict(self._inventory().recipients)
            if known.pop(name, None) is None:
                raise NotFoundError(
                    f"there is no recovery recipient {name!r}",
                    hint="run `blindfit-keys recipients list`",
                )
            self._change_recipients(known)

    def change_lock(self, new: Lock) -> None:
        """Lock the store and every keyset by ``new``; copies made before open as before.

        In two phases, so that a crash at any point leaves one lock that opens everything: first
        each file is sealed for both locks, then ``store.json`` changes over, then the old lock
        leaves the files.
        """
        with self._locked():
            self._require_unchanged_lock()
            with all_open(self._files, self._kept(), self._opener) as resealing:
                self._commit(_begun, {"event": "lock", "to": new.kind})
                resealing.admit(new)
                self._write_store_file(new)
                self._opener = new
                self._finish_resealing(resealing)

    # -- what dead processes left, and what is due -------------------------------------------------

    def _recover(self) -> None:
        self._files.sweep()
        sweep_temporary(self.root)
        if self._inventory().resealing and self._opened_by_lock():
            with those_that_open(self._files, self._kept(), self._opener) as resealing:
                self._finish_resealing(resealing)
        unrecorded = self._files.key_ids() - set(self._inventory().records)
        for key_id in unrecorded if self._opened_by_lock() else ():
            self._adopt(key_id)
        for key_id in self._inventory().due(format_moment(datetime.now(UTC))):
            self._commit(partial(Inventory.with_state, key_id=key_id, state=KeyState.DESTROYED))
        for record in self.records():
            if record.state is KeyState.DESTROYED:
                self._files.erase(record.key_id)

    def _adopt(self, key_id: str) -> None:
        """Record a keyset that a crash left without a record, if the lock sealed it."""
        try:
            commitment = self._files.commitment(key_id, self._opener)
        except (SealError, AccessError):
            return  # damaged or foreign: it stays as it is, `verify` tells of it
        description = self._files.describe(key_id)
        record = KeyRecord(
            key_id=key_id,
            params_id=description.params_id,
            state=KeyState.PRE_ACTIVE,
            created=description.created,
            models=(),
            commitment=commitment,
        )
        self._commit(lambda inventory: inventory.with_record(record))


def _require_new_recipient(recipient: RecoveryRecipient, known: Mapping[str, str]) -> None:
    # Under two names, removing one would not take anything from whoever holds the key.
    for name, public in known.items():
        if public == str(recipient):
            raise InputError(f"this recovery key is recipient {name!r} already")


def _begun(inventory: Inventory) -> Inventory:
    return replace(inventory, resealing=True)


__all__ = ["UnlockedStore"]
