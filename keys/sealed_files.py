"""The folder of sealed keysets: one immutable file each, named after its key_id.

Whoever writes, erases or sweeps holds the store's lock.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from blindfit.errors import KeyStateError, SealError
from blindfit.files import PRIVATE, sync_folder
from keys.description import KeysetDescription
from keys.keyset import Keyset
from keys.private import open_private, require_private_folder
from keys.seal import read_description, seal, unseal
from keys.stanzas import Opener, Recipient

_ENDING = ".keyset"
_TEMPORARY = ".tmp"
_BLOCK = bytes(1 << 20)


class SealedFiles:
    """Sealed keysets in ``folder`` (mode 0700, made on first use)."""

    def __init__(self, folder: Path):
        self._folder = folder

    def write(self, keyset: Keyset, recipients: Sequence[Recipient]) -> None:
        """Seal into a temporary file, then give it its name.

        Raises `KeyStateError` rather than overwrite another file.
        """
        require_private_folder(self._folder)
        temporary = self._folder / f".{keyset.key_id}.{secrets.token_hex(8)}{_TEMPORARY}"
        try:
            with _create(temporary) as file:
                seal(keyset, file, recipients)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, self._path(keyset.key_id))
        except FileExistsError as error:
            raise KeyStateError(f"key {keyset.key_id[:12]} is in the store already") from error
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self._folder)

    def open(self, key_id: str, opener: Opener) -> Keyset:
        """The opened keyset; raises `PassphraseError`, `SealError` or `AccessError`."""
        with self._file(key_id) as file:
            return unseal(file, opener, key_id=key_id)

    def describe(self, key_id: str) -> KeysetDescription:
        """What the file says about itself, not authenticated."""
        with self._file(key_id) as file:
            return read_description(file)

    def key_ids(self) -> set[str]:
        """The keysets that have a file."""
        return {path.stem for path in self._folder.glob(f"[0-9a-f]*{_ENDING}")}

    def erase(self, key_id: str) -> None:
        """Overwrite and remove the file, if it is there.

        Overwriting is best effort only: journals, snapshots and flash memory may keep old blocks.
        """
        path = self._path(key_id)
        with contextlib.suppress(FileNotFoundError):
            _overwrite(path)
            path.unlink()
            sync_folder(self._folder)

    def sweep(self) -> None:
        """Remove what writers left that died; nobody may be writing."""
        for path in self._folder.glob(f".*{_TEMPORARY}"):
            path.unlink()

    def _file(self, key_id: str) -> BinaryIO:
        try:
            return open_private(self._path(key_id))
        except FileNotFoundError as error:
            raise SealError(f"the file of key {key_id[:12]} is missing in the store") from error

    def _path(self, key_id: str) -> Path:
        return self._folder / f"{key_id}{_ENDING}"


def _create(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, PRIVATE), "wb")


def _overwrite(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        remaining = os.fstat(file.fileno()).st_size
        while remaining > 0:
            remaining -= file.write(_BLOCK[:remaining])
        file.flush()
        os.fsync(file.fileno())


__all__ = ["SealedFiles"]
