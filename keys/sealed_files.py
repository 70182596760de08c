"""The folder of sealed keysets: one file each, named after its key_id; its payload never changes.

Whoever writes, reseals, erases or sweeps holds the store's lock.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from blindfit.errors import KeyStateError, SealError
from blindfit.files import PRIVATE, sweep_temporary, sync_folder
from keys.description import KeysetDescription
from keys.envelope import KEYSET, read_envelope
from keys.keyset import Keyset
from keys.private import open_private, refuse_shared_folder, require_private_folder
from keys.seal import open_data_key, read_description, rewrap, seal, unseal
from keys.stanzas import Opener, Recipient, Stanza
from keys.wiping import Unshared, wipe, wiped

_NAME = re.compile(r"([0-9a-f]{64})\.keyset")
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
        try:
            with self._temporary(keyset.key_id) as (temporary, file):
                seal(keyset, file, recipients)
                _flush(file)
                os.link(temporary, self._path(keyset.key_id))
        except FileExistsError as error:
            raise KeyStateError(f"key {keyset.key_id[:12]} is in the store already") from error
        sync_folder(self._folder)

    def open(self, key_id: str, opener: Opener) -> Keyset:
        """The opened keyset; raises `PassphraseError`, `SealError` or `AccessError`."""
        with self.read(key_id) as file:
            return unseal(file, opener, key_id=key_id)

    def data_key(self, key_id: str, opener: Opener) -> bytearray:
        """The data key of a file whose header its sealer wrote, to be wiped; raises as `open`."""
        with self.read(key_id) as file:
            if read_description(file).key_id != key_id:
                raise SealError(f"the file of key {key_id[:12]} holds another keyset")
            file.seek(0)
            return open_data_key(file, opener)

    def commitment(self, key_id: str, opener: Opener) -> str:
        """What only this file's data key gives, in hex; nothing about the data key follows."""
        with wiped(self.data_key(key_id, opener)) as data_key:
            return _commitment(data_key)

    def committed_data_key(self, key_id: str, opener: Opener, commitment: str) -> bytearray:
        """The data key, to be wiped; raises `SealError` unless the file was sealed here.

        Whoever knows a passphrase's secret sealed the file, but anybody can seal for a recovery
        recipient (HPKE's base mode, RFC 9180 §9.1): a file that a recovery key opens could hold
        secret keys that somebody else knows.
        """
        data_key = self.data_key(key_id, opener)
        if _commitment(data_key) != commitment:
            wipe(data_key)
            raise SealError(
                f"the file of key {key_id[:12]} is not the one that was sealed here",
                hint="somebody exchanged it: restore it from a backup",
            )
        return data_key

    def reseal(self, key_id: str, data_key: bytearray, recipients: Sequence[Recipient]) -> None:
        """Seal the file for ``recipients`` instead; its payload is copied as it is."""
        with self.read(key_id) as source, self.replacing(key_id) as target:
            rewrap(source, target, data_key, recipients)

    def admit(self, key_id: str, data_key: bytearray, recipient: Recipient) -> None:
        """Seal the file for ``recipient`` too; whoever could open it before still can."""
        with self.read(key_id) as source:
            kept = [KeptStanza(stanza) for stanza in read_envelope(source, KEYSET).stanzas]
        self.reseal(key_id, data_key, [*kept, recipient])

    def opener_of(self, key_id: str, data_key: bytearray) -> Opener:
        """What opens the file by its data key, whoever it was sealed for."""
        with self.read(key_id) as file:
            return _DataKey(str(read_envelope(file, KEYSET).stanzas[0].get("kind")), data_key)

    def describe(self, key_id: str) -> KeysetDescription:
        """What the file says about itself, not authenticated."""
        with self.read(key_id) as file:
            return read_description(file)

    def read(self, key_id: str) -> BinaryIO:
        """The sealed file; raises `SealError` if it is missing, `AccessError`."""
        refuse_shared_folder(self._folder)
        try:
            return open_private(self._path(key_id))
        except FileNotFoundError as error:
            raise SealError(f"the file of key {key_id[:12]} is missing in the store") from error

    def key_ids(self) -> set[str]:
        """The keysets that have a file; raises `AccessError` if others may use the folder."""
        refuse_shared_folder(self._folder)
        names = (_NAME.fullmatch(path.name) for path in self._folder.glob(f"*{_ENDING}"))
        return {name[1] for name in names if name}

    def leftovers(self) -> list[Path]:
        """What writers left that died, or are still writing."""
        return sorted(self._folder.glob(f".*{_TEMPORARY}"))

    def erase(self, key_id: str) -> None:
        """Overwrite and remove the file, if it is there; a folder in its place stays.

        Overwriting is best effort only: journals, snapshots and flash memory may keep old blocks.
        """
        path = self._path(key_id)
        with contextlib.suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                return
            if stat.S_ISREG(mode):
                _overwrite(path)
            path.unlink()
            sync_folder(self._folder)

    def sweep(self) -> None:
        """Remove what writers left that died; nobody may be writing."""
        sweep_temporary(self._folder)

    @contextmanager
    def replacing(self, key_id: str) -> Iterator[BinaryIO]:
        """A file to write that takes the place of the key's file at the end of the block."""
        with self._temporary(key_id) as (temporary, file):
            yield file
            _flush(file)
            temporary.replace(self._path(key_id))
        sync_folder(self._folder)

    @contextmanager
    def _temporary(self, key_id: str) -> Iterator[tuple[Path, BinaryIO]]:
        path = self._folder / f".{key_id}.{secrets.token_hex(8)}{_TEMPORARY}"
        try:
            with _create(path) as file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)

    def _path(self, key_id: str) -> Path:
        return self._folder / f"{key_id}{_ENDING}"


@dataclass(frozen=True)
class KeptStanza:
    """Whoever opens ``stanza``: it goes on wrapping the same key."""

    stanza: Stanza

    def wrap(self, data_key: bytes | bytearray) -> Stanza:
        """The stanza as it is."""
        del data_key
        return self.stanza


@dataclass(frozen=True)
class _DataKey(Unshared):
    kind: str
    data_key: bytearray = field(repr=False)

    def unwrap(self, stanza: Stanza) -> bytearray:
        del stanza
        return bytearray(self.data_key)


def _commitment(data_key: bytearray) -> str:
    with wiped(KEYSET.derive_key(data_key, "commitment")) as commitment:
        return commitment.hex()


def _create(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, PRIVATE), "wb")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _overwrite(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        status = os.fstat(file.fileno())
        # What has another name too may be any file of the user's.
        remaining = status.st_size if status.st_nlink == 1 else 0
        while remaining > 0:
            remaining -= file.write(_BLOCK[:remaining])
        _flush(file)


__all__ = ["KeptStanza", "SealedFiles"]
