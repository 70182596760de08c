"""The bytes of evaluation keys on disk: one folder a tenant, one file a key.

``<key_id>.part`` grows while it is uploaded and is renamed to ``<key_id>.keys`` when it is complete
and checked. Bytes go straight to the disk: a key of several hundred MB never is in memory whole.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from weakref import WeakValueDictionary

from blindfit.errors import InputError, KeyNotUploadedError, UnavailableError
from blindfit.files import private_folder, sync_folder
from blindfit.frame import Frame
from blindfit.key_id import compute_file_key_id
from server_app.arriving import ArrivingHashes


@dataclass(frozen=True)
class Upload:
    """What was announced of a key; ``size`` in bytes. Names were checked by the caller."""

    tenant: str
    key_id: str
    salt: bytes
    size: int


class KeyFiles:
    """The files of all tenants under one folder. Names were checked by the caller."""

    def __init__(self, root: Path):
        self._root = root
        self._locks: WeakValueDictionary[Path, _Lock] = WeakValueDictionary()
        self._hashes = ArrivingHashes()
        self._guard = threading.Lock()

    def path(self, tenant: str, key_id: str) -> Path:
        """Where a complete key is."""
        return self._root / tenant / f"{key_id}.keys"

    def begin(self, tenant: str, key_id: str) -> None:
        """Make an empty part, unless there are bytes already."""
        part = self._part(tenant, key_id)
        private_folder(part.parent)
        # A crash may have come between a commit's rename and its change of the row.
        if not self.path(tenant, key_id).exists():
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))

    def received(self, tenant: str, key_id: str) -> int:
        """Bytes that have arrived."""
        for file in (self._part(tenant, key_id), self.path(tenant, key_id)):
            if file.exists():
                return file.stat().st_size
        return 0

    def write(
        self,
        upload: Upload,
        offset: int,
        data: bytes,
        still_begun: Callable[[], bool],
    ) -> int:
        """Write a piece; returns how much there is now. Writing a piece again is harmless.

        ``still_begun`` is asked whether this is the upload that is going on. Raises `InputError`
        for a gap or for more than was announced, `KeyNotUploadedError` when no upload was begun or
        it is over, `UnavailableError` when the disk is full.
        """
        part = self._part(upload.tenant, upload.key_id)
        with self._locked(part), _open(part) as descriptor:
            # Asked under the lock, without which the part cannot become another upload's.
            if not still_begun():
                raise KeyNotUploadedError("this upload of the key is over")
            length = os.fstat(descriptor).st_size
            if offset > length:
                raise InputError(f"bytes {length} to {offset} of the key are missing")
            if offset + len(data) > upload.size:
                raise InputError(f"the key was announced with {upload.size} bytes and has more")
            fresh = memoryview(data)[max(0, length - offset) :]
            _write_all(descriptor, fresh, length)
            self._hashes.add(part, upload.salt, length, fresh)
            return length + len(fresh)

    def finish(self, upload: Upload, frame: Frame) -> None:
        """Check a part and make it a complete key; harmless when that was done already.

        Raises `InputError` (`CiphertextError` for a wrong format): none of the part's bytes can be
        trusted to be the right ones, so the caller removes it.
        """
        part = self._part(upload.tenant, upload.key_id)
        final = self.path(upload.tenant, upload.key_id)
        with self._locked(part):
            if not part.exists() and final.exists():
                return
            with _open(part) as descriptor:
                os.fsync(descriptor)
            self._check(part, upload, frame)
            part.rename(final)
            sync_folder(final.parent)

    def remove(self, tenant: str, key_id: str) -> None:
        """Remove all bytes of a key."""
        part = self._part(tenant, key_id)
        with self._locked(part):
            self._hashes.forget(part)
            part.unlink(missing_ok=True)
            self.path(tenant, key_id).unlink(missing_ok=True)

    def stored(self) -> Iterator[tuple[str, str, Path]]:
        """(tenant, key_id, file) of everything on disk."""
        for file in self._root.glob("*/*"):
            if file.suffix in (".keys", ".part"):
                yield file.parent.name, file.stem, file

    def _part(self, tenant: str, key_id: str) -> Path:
        return self._root / tenant / f"{key_id}.part"

    def _check(self, part: Path, upload: Upload, frame: Frame) -> None:
        with part.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != frame.length:
                raise InputError(f"the key has {size} bytes; this model's have {frame.length}")
            found = self._hashes.take(part, size) or compute_file_key_id(upload.salt, file)
            if found != upload.key_id:
                raise InputError(
                    "the key's bytes do not have the hash of its key_id; upload it again"
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                # A mapping is sliced and compared like bytes, without being read into memory.
                frame.check(cast(bytes, content), "evaluation key")

    @contextmanager
    def _locked(self, part: Path) -> Iterator[None]:
        # Nobody writes to a part while it is checked, else other bytes would be kept than checked.
        with self._guard:
            lock = self._locks.get(part)
            if lock is None:
                lock = self._locks[part] = _Lock()
        with lock.held:
            yield


class _Lock:
    """A lock that a weak dictionary can hold."""

    def __init__(self) -> None:
        self.held = threading.Lock()


@contextmanager
def _open(part: Path) -> Iterator[int]:
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise KeyNotUploadedError("no upload of this key is going on") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    try:
        while data:
            written = os.pwrite(descriptor, data, offset)
            offset, data = offset + written, data[written:]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UnavailableError(
            "the server's disk is full", hint="tell the operator; the upload can go on later"
        ) from error
