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

CHUNK_BYTES: Final = 64 * 1024
_TAG_BYTES: Final = 16


def write_chunks(file: BinaryIO, key: bytes, context: bytes, *parts: bytes) -> None:
    """Encrypt the concatenation of ``parts`` (not empty) under ``key`` (32 bytes) into ``file``.

    ``context`` is associated data of every chunk. Holds one chunk in memory at a time.
    """
    cipher = AESGCM(key)
    total = sum(map(len, parts))
    for number, piece in enumerate(_pieces(parts, total)):
        nonce = _nonce(number, last=number == _count(total) - 1)
        file.write(cipher.encrypt(nonce, piece, context))


def read_chunks(file: BinaryIO, key: bytes, context: bytes, length: int) -> Iterator[bytes]:
    """The ``length`` bytes of payload piece by piece, each authenticated before it is yielded.

    Raises `SealError` for a changed, missing, added or moved chunk.
    """
    cipher = AESGCM(key)
    count = _count(length)
    for number in range(count):
        size = min(CHUNK_BYTES, length - number * CHUNK_BYTES) + _TAG_BYTES
        sealed = file.read(size)
        try:
            yield cipher.decrypt(_nonce(number, last=number == count - 1), sealed, context)
        except (InvalidTag, ValueError) as error:
            raise SealError(f"chunk {number} of the keyset was changed or cut") from error
    if file.read(1):
        raise SealError("something was appended to the keyset")


def _count(length: int) -> int:
    return -(-length // CHUNK_BYTES)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _pieces(parts: tuple[bytes, ...], total: int) -> Iterator[bytes]:
    for start in range(0, total, CHUNK_BYTES):
        piece, offset = b"", 0
        for part in parts:
            piece += part[max(0, start - offset) : max(0, start + CHUNK_BYTES - offset)]
            offset += len(part)
        yield piece


__all__ = ["CHUNK_BYTES", "read_chunks", "write_chunks"]
