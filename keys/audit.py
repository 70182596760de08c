"""What happened to keys: an append-only log in which every line holds the hash of the one before.

It has no secrets. Cutting, changing or inserting lines breaks the chain; a cut at the end is seen
by comparing with the head that the store's manifest remembers.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blindfit.errors import IntegrityError
from blindfit.files import PRIVATE, sync_folder
from keys.private import read_private

START = "0" * 64  # what the first line names as the one before


class AuditLog:
    """The log in one file. Whoever appends holds the store's lock."""

    def __init__(self, path: Path):
        self._path = path

    def append(self, event: str, **facts: str | None) -> str:
        """Add a line and return its hash, the new head; ``facts`` must not be secret."""
        lines = self._lines()
        entry = {
            "number": len(lines) + 1,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "event": event,
            **facts,
            "previous": _hash(lines[-1]) if lines else START,
        }
        line = json.dumps(entry, separators=(",", ":")).encode()
        self._write(line, after=sum(len(known) + 1 for known in lines))
        return _hash(line)

    def entries(self) -> list[dict[str, Any]]:
        """Every line, oldest first, after `verify`."""
        self.verify()
        return [json.loads(line) for line in self._lines()]

    def verify(self, head: str = START) -> int:
        """How many lines there are; ``head`` is a hash that must be among theirs.

        Raises `IntegrityError` that names the line from which on the log cannot be trusted.
        """
        expected, seen = START, {START}
        lines = self._lines()
        for number, line in enumerate(lines, start=1):
            if _field(line, "previous") != expected or _field(line, "number") != number:
                raise IntegrityError(
                    f"{self._path}: line {number} does not follow from the line before",
                    hint="somebody or something changed the audit log; compare with a backup",
                )
            expected = _hash(line)
            seen.add(expected)
        if head not in seen:
            raise IntegrityError(
                f"{self._path}: the last lines are missing",
                hint="somebody or something cut the audit log; compare with a backup",
            )
        return len(lines)

    def _lines(self) -> list[bytes]:
        try:
            content = read_private(self._path)
        except FileNotFoundError:
            return []
        # What a crash left without its end of line was never acknowledged.
        return content.split(b"\n")[:-1]

    def _write(self, line: bytes, *, after: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(after)
            file.seek(after)
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._path.parent)


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _field(line: bytes, name: str) -> Any:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry.get(name) if isinstance(entry, dict) else None


__all__ = ["START", "AuditLog"]
