"""A keyset from its payload, piece by piece: each key is in memory once, pieces are wiped."""

from __future__ import annotations

import io
from collections.abc import Iterable

from keys.access import SECRET_ACCESS
from keys.description import KeysetDescription
from keys.keyset import Keyset
from keys.secret_message import new_message, secret_part
from keys.wiping import wipe


class KeysetAssembly:
    """Takes the secret keys and then the evaluation keys, as long as ``description`` says."""

    def __init__(self, description: KeysetDescription):
        self._message = new_message(description)
        self._missing = description.secret_bytes
        # BytesIO grows in place and hands over its buffer: the keys are in memory once.
        self._evaluation_keys = io.BytesIO()

    def take(self, pieces: Iterable[bytearray]) -> Keyset:
        """The keyset of all ``pieces``; raises `SealError` if they are not the described keys.

        When ``pieces`` raise, what was taken is wiped.
        """
        try:
            for piece in pieces:
                self._add(piece)
            return Keyset(SECRET_ACCESS, self._message, self._evaluation_keys.getvalue())
        except BaseException:
            wipe(self._message)
            raise

    def _add(self, piece: bytearray) -> None:
        with memoryview(piece) as view, secret_part(self._message) as secret:
            taken = view[: self._missing]
            start = len(secret) - self._missing
            secret[start : start + len(taken)] = taken
            self._evaluation_keys.write(view[self._missing :])
            self._missing -= len(taken)
        wipe(piece)


__all__ = ["KeysetAssembly"]
