"""A cipher without a process of its own, for programs that have Concrete loaded already."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from keys.cipher import Cipher, Decrypted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keys.keyset import Keyset

T = TypeVar("T")


class LocalCipher:
    """`keys.cipher.Cipher` in this process, which has Concrete loaded already."""

    def __init__(self, bundle_folder: Path, keyset: Keyset):
        self._cipher = Cipher(bundle_folder, keyset)

    def encrypt(self, row: NDArray[np.float64]) -> Future[bytes]:
        """The ciphertext of an encoded row."""
        return _done(self._cipher.encrypt(row))

    def decrypt(self, ciphertext: bytes) -> Future[Decrypted]:
        """The result in a ciphertext."""
        return _done(self._cipher.decrypt(ciphertext))

    def close(self) -> None:
        """Nothing to end."""


def _done(result: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(result)
    return future
