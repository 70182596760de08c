"""The key store, opened: its signing key, and the one way in which anything in it changes.

Order of writes, so that a crash at any point loses no keyset: a keyset's file before its record; a
tombstone before the file goes; the log's line before the manifest that confirms it; files before
``store.json`` when somebody gets access. `keys.unlocked_store` says what may be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from blindfit.errors import KeyStateError
from blindfit.files import write_atomic
from keys.audit import Event
from keys.changes import describe_changes
from keys.inventory import Inventory, KeyRecord
from keys.recovery import RecoveryRecipient
from keys.resealing import Resealing, all_open
from keys.sealed_files import KeptStanza
from keys.signatures import PrivateKey, sign
from keys.stanzas import Lock, Opener, Recipient
from keys.states import KeyState
from keys.store import MANIFEST_FILE, STORE_FILE, KeyStore
from keys.store_key import decode_store_file, lock_seed, open_seed
from keys.store_manifest import encode_manifest
from keys.wiping import Unshared

Change = Callable[[Inventory], Inventory]


class OpenedStore(Unshared, KeyStore):
    """The store in ``root``, proven to be the one that ``opener`` opens."""

    def __init__(self, root: Path, opener: Opener):
        super().__init__(root)
        self._file = self._store_file()
        self._seed = open_seed(self._file, opener)
        self._proven_key = self._file.public_key
        self._opener = opener

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.root}>"

    def sign(self, content: bytes, purpose: str) -> bytes:
        """The store's signature (64 bytes), which `require_signed` checks."""
        return sign(self._private_key(), content, purpose)

    def _public_key(self) -> bytes:
        return self._proven_key  # and not what store.json says by now

    def _private_key(self) -> PrivateKey:
        return PrivateKey.from_private_bytes(bytes(self._seed))

    def _change(self, key_id: str, change: Callable[[Inventory, str], Inventory]) -> KeyRecord:
        key_id = self.record(key_id).key_id
        with self._locked():
            self._commit(lambda inventory: change(inventory, key_id))
        return self.record(key_id)

    def _commit(self, change: Change, *events: Event) -> None:
        old = self._inventory()
        new = change(old)
        if new == old and not events:
            return
        generation = old.generation + 1
        told: list[Event] = [*events, *describe_changes(old, new)]
        head = self.audit.append(
            [{**event, "generation": generation} for event in told], after=old.audit_head
        )
        new = replace(new, generation=generation, audit_head=head)
        write_atomic(self.root / MANIFEST_FILE, encode_manifest(new, self._private_key()))

    def _lock(self) -> Lock:
        """What seals new files; a recovery key opens the store, but cannot seal for its lock."""
        self._require_unchanged_lock()
        if not self._opened_by_lock():
            raise KeyStateError(
                "a recovery key opens the store, but it cannot seal for its lock",
                hint="run `blindfit-keys passphrase --recovery-key FILE` for a new passphrase",
            )
        return cast("Lock", self._opener)  # of the lock's kind, so it is one

    def _opened_by_lock(self) -> bool:
        return self._opener.kind == self._file.lock_kind

    def _require_unchanged_lock(self) -> None:
        if self._store_file().lock != self._file.lock:
            raise KeyStateError(
                "the passphrase of the key store was changed meanwhile",
                hint="try again with the new one",
            )

    def _recovery(self) -> list[RecoveryRecipient]:
        return [RecoveryRecipient.parse(text) for text in self._inventory().recipients.values()]

    def _change_recipients(self, recipients: Mapping[str, str]) -> None:
        self._lock()
        with all_open(self._files, self._kept(), self._opener) as resealing:
            self._commit(lambda old: replace(old, recipients=recipients, resealing=True))
            self._finish_resealing(resealing)

    def _kept(self) -> list[KeyRecord]:
        return [record for record in self.records() if record.state is not KeyState.DESTROYED]

    def _finish_resealing(self, resealing: Resealing) -> None:
        """Files before ``store.json``: whoever opens the store by it opens every keyset too."""
        recovery = self._recovery()
        resealing.seal_for([self._lock(), *recovery])
        self._write_store_file(KeptStanza(self._file.lock))
        self._commit(lambda old: replace(old, resealing=False), {"event": "resealed"})

    def _write_store_file(self, lock: Recipient) -> None:
        content = lock_seed(self._seed, lock, self._recovery())
        write_atomic(self.root / STORE_FILE, content)
        self._file = decode_store_file(content)


__all__ = ["OpenedStore"]
