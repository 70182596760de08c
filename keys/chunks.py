"""The payload of a sealed file: 64 KiB chunks of AES-256-GCM with counter nonces.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): the nonce is the chunk's
number and a flag on the last one, so that chunks cannot be reordered, dropped or added.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindfit.errors import SealError
from keys.wiping import wipe

CHUNK_BYTES: Final = 64 * 1024
_TAG_BYTES: Final = 16
_SEALED_BYTES: Final = CHUNK_BYTES + _TAG_BYTES


class ChunkWriter:
    """Encrypts what is written under ``key`` (32 bytes, for this file only) into ``file``.

    ``context`` is associated data of every chunk. Holds one chunk in memory at a time. Without
    `finish` the file stays unreadable.
    """

    def __init__(self, file: BinaryIO, key: bytes | bytearray, context: bytes):
        self._file = file
        self._cipher = AESGCM(key)
        self._context = context
        self._number = 0
        self._pending = bytearray(CHUNK_BYTES)
        self._filled = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt the next bytes of the payload; the last chunk waits for `finish`."""
        with memoryview(data).cast("B") as view:
            position = 0
            while position < len(view):
                if self._filled == CHUNK_BYTES:
                    self._seal(last=False)
                taken = view[position : position + CHUNK_BYTES - self._filled]
                self._pending[self._filled : self._filled + len(taken)] = taken
                self._filled += len(taken)
                position += len(taken)

    def finish(self) -> None:
        """Write the last chunk (an empty one, if nothing was written) and wipe the plaintext."""
        self._seal(last=True)
        wipe(self._pending)

    def _seal(self, *, last: bool) -> None:
        with memoryview(self._pending)[: self._filled] as piece:
            nonce = _nonce(self._number, last=last)
            self._file.write(self._cipher.encrypt(nonce, piece, self._context))
        self._number += 1
        self._filled = 0


def read_chunks(
    file: BinaryIO, key: bytes | bytearray, context: bytes, length: int | None = None
) -> Iterator[bytearray]:
    """The payload piece by piece, each authenticated before it is yielded, up to the file's end.

    With ``length`` (bytes) it must be exactly as long. Without, it ends with the chunk that has
    the last flag, and only then is it known to be whole. Raises `SealError` for a changed, missing,
    added or moved chunk. Whoever takes a piece with secrets wipes it.
    """
    cipher = AESGCM(key)
    for number, sealed, last in _sealed_chunks(file, length):
        piece = bytearray(max(0, len(sealed) - _TAG_BYTES))
        try:
            cipher.decrypt_into(_nonce(number, last=last), sealed, context, piece)
        except (InvalidTag, ValueError) as error:
            raise SealError(f"chunk {number} of the sealed file was changed or cut") from error
        yield piece


def _sealed_chunks(file: BinaryIO, length: int | None) -> Iterator[tuple[int, bytes, bool]]:
    """Number, bytes and last flag, as the place in the file says: the tag is checked later."""
    sealed, number, missing = file.read(_SEALED_BYTES), 0, length
    while True:
        following = file.read(_SEALED_BYTES)
        if missing is not None:
            _require_length(sealed, missing, following)
            missing -= CHUNK_BYTES
        yield number, sealed, not following
        if not following:
            return
        sealed, number = following, number + 1


def _require_length(sealed: bytes, missing: int, following: bytes) -> None:
    expected = min(CHUNK_BYTES, missing) + _TAG_BYTES
    if len(sealed) < expected or (missing > CHUNK_BYTES and not following):
        raise SealError("the sealed file was cut")
    if len(sealed) > expected or (missing <= CHUNK_BYTES and following):
        raise SealError("something was appended to the sealed file")


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


__all__ = ["CHUNK_BYTES", "ChunkWriter", "read_chunks"]
