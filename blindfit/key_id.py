"""What identifies an evaluation key: one formula for the client, the server and its workers.

A ``key_id`` is SHA-256(salt ‖ serialized evaluation keys), in hex. Linear circuits have equal
(empty) evaluation keys, so that the random salt is what tells two of their keysets apart.
"""

from __future__ import annotations

import hashlib
from typing import BinaryIO, Final

from blindfit.errors import InputError

SALT_BYTES: Final = 16
_PIECE_BYTES: Final = 1 << 20


class KeyIdHash:
    """The key_id of evaluation keys that arrive in pieces, in order."""

    __slots__ = ("_digest",)

    def __init__(self, salt: bytes):
        """Raises `InputError` unless ``salt`` has `SALT_BYTES`."""
        if len(salt) != SALT_BYTES:
            raise InputError(f"a key's salt is {SALT_BYTES} bytes, not {len(salt)}")
        self._digest = hashlib.sha256(salt)

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the evaluation keys."""
        self._digest.update(piece)

    def key_id(self) -> str:
        """The key_id of all that was taken so far: 64 hex digits."""
        return self._digest.hexdigest()


def compute_key_id(salt: bytes, evaluation_keys: bytes | bytearray | memoryview) -> str:
    """SHA-256 of the salt (16 bytes) and the serialized evaluation keys, in hex."""
    running = KeyIdHash(salt)
    running.update(evaluation_keys)
    return running.key_id()


def compute_file_key_id(salt: bytes, file: BinaryIO) -> str:
    """`compute_key_id` of what is left in ``file``, with 1 MiB of it in memory at a time."""
    running = KeyIdHash(salt)
    while piece := file.read(_PIECE_BYTES):
        running.update(piece)
    return running.key_id()


__all__ = ["SALT_BYTES", "KeyIdHash", "compute_file_key_id", "compute_key_id"]
