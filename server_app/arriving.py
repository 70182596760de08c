"""The hashes of keys that are arriving, so that a complete one need not be read again."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from blindfit.key_id import KeyIdHash
from server_app.recently_used import RecentlyUsed

_KEPT = 256  # uploads; those of others are read again when they are complete


@dataclass
class _Arriving:
    digest: KeyIdHash
    length: int


class ArrivingHashes:
    """Hashes by file. Files may be asked for by several threads, but each by one at a time."""

    def __init__(self) -> None:
        self._arriving: RecentlyUsed[_Arriving] = RecentlyUsed(_KEPT)
        self._guard = threading.Lock()

    def add(self, file: Path, salt: bytes, offset: int, data: memoryview) -> None:
        """Take in what was written; bytes before ``offset`` that were not seen make it useless."""
        with self._guard:
            if offset == 0:
                self._arriving.put(str(file), _Arriving(KeyIdHash(salt), 0), 1)
            found = self._arriving.get(str(file))
        if found is not None and found.length == offset:
            found.digest.update(data)
            found.length += len(data)

    def take(self, file: Path, length: int) -> str | None:
        """The key_id of a file's ``length`` bytes, if all were seen; forgets the file."""
        with self._guard:
            found = self._arriving.pop(str(file))
        return found.digest.key_id() if found is not None and found.length == length else None

    def forget(self, file: Path) -> None:
        """The file is no more."""
        self.take(file, 0)
