"""Restoring a backup into a home without keys: all of it, or nothing.

The store is built beside, in ``<home>/.keys.restore-*``, and gets its name when everything in it
was checked: each chunk of the backup and its end, the manifest's signature, the audit log's chain,
and every keyset whole. Keysets are never in clear on the disk.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from blindfit.errors import IntegrityError, KeyStateError, SealError
from blindfit.files import private_folder, sync_folder, write_exclusive
from blindfit.signing import fingerprint
from keys.audit import AuditLog, Event
from keys.backup_header import BACKUP, decode_header
from keys.backup_members import Member, MemberReader
from keys.chunks import read_chunks
from keys.envelope import read_envelope
from keys.inventory import Inventory
from keys.lock import exclusive
from keys.private import require_private_folder
from keys.recovery import RecoveryRecipient
from keys.seal import unwrap_envelope
from keys.sealed_files import SealedFiles
from keys.signatures import PrivateKey, public_bytes
from keys.stanzas import DATA_KEY_BYTES, Lock, Opener, Recipient
from keys.states import KeyState
from keys.store import AUDIT_FILE, MANIFEST_FILE, STORE_FILE, KeyStore
from keys.store_key import SEED_BYTES, lock_seed
from keys.store_manifest import decode_manifest, encode_manifest
from keys.unlocked_store import UnlockedStore
from keys.wiping import wipe, wiped

_STAGING: Final = ".keys.restore-"
_KEY_ID_BYTES: Final = 32


def restore_backup(
    home: Path, file: BinaryIO, opener: Opener, lock: Lock, *, confirm: Callable[[str], None]
) -> UnlockedStore:
    """Make the store of ``home`` from a backup that ``opener`` opens; ``lock`` locks it.

    States are as they were. ``confirm`` is told the store's fingerprint, and raises if it is not
    the user's own: anybody can make a backup for a recovery key. Raises `KeyStateError` if there
    are keys, `PassphraseError` if the backup was not made for ``opener``, `SealError` or
    `IntegrityError` if it is damaged.
    """
    root = home / "keys"
    require_no_keys(root)
    private_folder(home)
    with exclusive(home / ".restore.lock"), _staging(home) as staging:
        _read(file, opener, staging, lock, confirm)
        _move(staging, root)
    return KeyStore(root).unlock(lock)


def require_no_keys(root: Path) -> None:
    """Raises `KeyStateError` if there are files in ``root``: they are never merged or replaced."""
    files = (path for path in root.rglob("*") if not path.is_dir() and path != root / "lock")
    if root.is_symlink() or any(files):
        raise KeyStateError(
            f"{root} has keys already; a backup is only restored into a home without keys",
            hint="choose another home with --home, or move that folder away",
        )


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    for left in home.glob(f"{_STAGING}*"):
        shutil.rmtree(left)  # made under the lock that the caller holds, so its maker is dead
    staging = home / f"{_STAGING}{secrets.token_hex(8)}"
    private_folder(staging / "keysets")
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(staging: Path, root: Path) -> None:
    """Give the new store its name, unless somebody has made one there meanwhile.

    Everything in it is on the disk already: each file's writer sees to that.
    """
    with exclusive(require_private_folder(root) / "lock"):
        require_no_keys(root)
        shutil.rmtree(root)
        staging.rename(root)
    sync_folder(root.parent)


def _read(
    file: BinaryIO, opener: Opener, staging: Path, lock: Lock, confirm: Callable[[str], None]
) -> None:
    envelope = read_envelope(file, BACKUP)
    store_key = bytes.fromhex(decode_header(envelope.header).store)
    with (
        wiped(unwrap_envelope(envelope, opener)) as data_key,
        wiped(BACKUP.derive_key(data_key, "payload")) as key,
    ):
        confirm(fingerprint(store_key))
        members = MemberReader(read_chunks(file, key, envelope.context))
        with wiped(members.read(Member.SECRETS)) as store_secrets:
            _build(staging, members, store_secrets, store_key, lock)


def _build(
    staging: Path, members: MemberReader, store_secrets: bytearray, store_key: bytes, lock: Lock
) -> None:
    seed, data_keys = _split(store_secrets)
    signer = PrivateKey.from_private_bytes(bytes(seed))
    if public_bytes(signer) != store_key:
        raise IntegrityError("the backup holds another store's key than its header says")
    inventory = decode_manifest(bytes(members.read(Member.MANIFEST)), store_key)
    head = _restore_audit(staging, bytes(members.read(Member.AUDIT)), inventory)
    recovery = [RecoveryRecipient.parse(text) for text in inventory.recipients.values()]
    files = SealedFiles(staging / "keysets")
    for key_id, data_key in data_keys.items():
        _restore_keyset(members, files, key_id, data_key, [lock, *recovery])
        wipe(data_key)
    members.finish()
    _require_complete(inventory, set(data_keys))
    inventory = replace(
        inventory, generation=inventory.generation + 1, audit_head=head, resealing=False
    )
    write_exclusive(staging / MANIFEST_FILE, encode_manifest(inventory, signer))
    write_exclusive(staging / STORE_FILE, lock_seed(seed, lock, recovery))
    wipe(seed)


def _split(store_secrets: bytearray) -> tuple[bytearray, dict[str, bytearray]]:
    """The store's seed, and the data key of each keyset by its key_id."""
    size = _KEY_ID_BYTES + DATA_KEY_BYTES
    if len(store_secrets) < SEED_BYTES or (len(store_secrets) - SEED_BYTES) % size:
        raise SealError("the secrets in the backup are damaged")
    data_keys = {}
    for start in range(SEED_BYTES, len(store_secrets), size):
        middle = start + _KEY_ID_BYTES
        data_keys[store_secrets[start:middle].hex()] = store_secrets[middle : start + size]
    return store_secrets[:SEED_BYTES], data_keys


def _restore_audit(staging: Path, content: bytes, inventory: Inventory) -> str:
    path = staging / AUDIT_FILE
    write_exclusive(path, content)
    event: Event = {"event": "restored", "generation": inventory.generation + 1}
    log = AuditLog(path)
    log.entries(inventory.audit_head)  # a log that was changed is refused, not set aside
    return log.append([event], after=inventory.audit_head)


def _restore_keyset(
    members: MemberReader,
    files: SealedFiles,
    key_id: str,
    data_key: bytearray,
    recipients: list[Recipient],
) -> None:
    """A sealed file, checked whole by its data key and sealed for those who shall open it now."""
    with files.replacing(key_id) as target:
        members.copy(Member.KEYSET, target)
    with files.open(key_id, files.opener_of(key_id, data_key)):
        pass
    files.reseal(key_id, data_key, recipients)


def _require_complete(inventory: Inventory, key_ids: set[str]) -> None:
    kept = {k for k, r in inventory.records.items() if r.state is not KeyState.DESTROYED}
    if kept != key_ids:
        raise SealError("the keysets in the backup are not those of its manifest")


__all__ = ["require_no_keys", "restore_backup"]
