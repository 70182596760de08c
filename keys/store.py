"""The key store, read without a passphrase: which keysets there are, and in which state.

Keysets are sealed files; everything that changes is in one small manifest, replaced atomically
under a lock that works between processes, and signed by the store's key (`keys.store_key`), which
only the store's lock opens. So somebody who can write these files but cannot open the store cannot
change a state or a primary unseen: readers check the signature, and opening the store checks that
the key is its own. Rolling the whole folder back to an earlier copy cannot be seen from here;
`blindfit-keys verify` finds it by comparing with the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.errors import IntegrityError, KeyStateError, NotFoundError
from blindfit.signing import fingerprint
from keys.audit import AuditLog
from keys.inventory import Inventory, KeyRecord
from keys.lock import exclusive
from keys.lost_file import put_back
from keys.private import read_private, require_private_folder
from keys.sealed_files import SealedFiles
from keys.signatures import require_signature
from keys.store_key import StoreFile, decode_store_file
from keys.store_manifest import decode_manifest

if TYPE_CHECKING:
    from keys.stanzas import Lock, Opener, Stanza
    from keys.unlocked_store import UnlockedStore

STORE_FILE, MANIFEST_FILE, AUDIT_FILE = "store.json", "manifest.json", "audit.jsonl"


class KeyStore:
    """The store in ``root`` (``<home>/keys``).

    Whatever reads raises `IntegrityError` for files that the store's key did not sign, and
    `AccessError` for files that others may use.
    """

    def __init__(self, root: Path):
        self._root = root
        self._files = SealedFiles(root / "keysets")
        self.audit = AuditLog(root / AUDIT_FILE)

    @classmethod
    def of(cls, home: Path) -> KeyStore:
        """The store of a client's home."""
        return KeyStore(home / "keys")

    @property
    def root(self) -> Path:
        """The store's folder."""
        return self._root

    @property
    def exists(self) -> bool:
        """Whether there is a store; raises `IntegrityError` for keysets without one."""
        if (self._root / STORE_FILE).exists():
            return True
        if self._files.key_ids():
            raise IntegrityError(
                f"{self._root / STORE_FILE} is missing, but there are keysets",
                hint=put_back(STORE_FILE),
            )
        return False

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

    def recipients(self) -> Mapping[str, str]:
        """The recovery recipients' public keys in text form, by name."""
        return dict(self._inventory().recipients)

    def lock_kind(self) -> str:
        """What locks the store: ``argon2id`` (a passphrase) or ``keyring``."""
        return self._store_file().lock_kind

    def lock_stanza(self) -> Stanza:
        """How the lock wraps the store's seed; it names the OS keyring's entry, if that is it."""
        return self._store_file().lock

    def fingerprint(self) -> str:
        """The store's key in a form that people can compare."""
        return fingerprint(self._public_key())

    def history(self) -> list[dict[str, object]]:
        """The audit log's confirmed entries, oldest first; raises `IntegrityError`."""
        return self.audit.entries(self._inventory().audit_head)

    def unconfirmed_lines(self) -> int:
        """How many lines of the audit log the manifest does not know."""
        return self.audit.unconfirmed(self._inventory().audit_head)

    def initialize(self, lock: Lock) -> UnlockedStore:
        """Make the store on first use; raises `KeyStateError` if there is one."""
        from keys.first_use import initialize

        with self._locked():
            if self.exists:
                raise KeyStateError(f"there is a key store in {self._root} already")
            initialize(self._root, lock)
        return self.unlock(lock)

    def unlock(self, opener: Opener) -> UnlockedStore:
        """The store, to open and change keys; finishes what dead processes left.

        Raises `PassphraseError`, `AccessError` if it is locked by something else, and
        `IntegrityError` if its key is not the one that ``opener`` knows.
        """
        from keys.unlocked_store import UnlockedStore

        return UnlockedStore(self._root, opener)

    def require_signed(self, content: bytes, signature: bytes, purpose: str) -> None:
        """Raises `IntegrityError` unless this store signed ``content`` for ``purpose``."""
        require_signature(self._public_key(), content, signature, purpose)

    def require_agreement(self) -> None:
        """Raises `IntegrityError` if ``store.json`` and the manifest name other recipients.

        An old manifest that somebody put back would bring a removed recipient back.
        """
        if self.exists:
            with self._locked():
                self._require_agreement()

    def _require_agreement(self) -> None:
        from keys.recovery import RecoveryRecipient

        inventory = self._inventory()
        named = {RecoveryRecipient.parse(t).public.hex() for t in inventory.recipients.values()}
        sealed = {str(stanza.get("recipient")) for stanza in self._store_file().recovery}
        # While recipients change, the manifest is the first and store.json the last to know.
        if named != sealed and not inventory.resealing:
            raise IntegrityError(
                "the manifest and store.json name different recovery recipients",
                hint="somebody put one of the two back to an earlier copy: move the folder "
                f"{self._root} away, and run `blindfit-keys restore BACKUP`",
            )

    def _locked(self) -> AbstractContextManager[None]:
        return exclusive(require_private_folder(self._root) / "lock")

    def _public_key(self) -> bytes:
        return self._store_file().public_key

    def _store_file(self) -> StoreFile:
        try:
            return decode_store_file(read_private(self._root / STORE_FILE))
        except FileNotFoundError as error:
            raise NotFoundError(
                f"there are no keys in {self._root} yet",
                hint="run `blindfit-keys create --model MODEL`",
            ) from error

    def _inventory(self) -> Inventory:
        if not self._root.exists() and not self._root.is_symlink():
            return Inventory()
        require_private_folder(self._root)
        if not self.exists:
            return Inventory()
        try:
            content = read_private(self._root / MANIFEST_FILE)
        except FileNotFoundError as error:
            raise IntegrityError(
                f"{self._root / MANIFEST_FILE} is missing",
                hint=put_back(MANIFEST_FILE),
            ) from error
        return decode_manifest(content, self._public_key())


__all__ = ["AUDIT_FILE", "MANIFEST_FILE", "STORE_FILE", "KeyRecord", "KeyStore"]
