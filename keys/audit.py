"""What happened to keys: an append-only log in which every line holds the hash of the one before.

It has no secrets. Cutting, changing or inserting lines breaks the chain; the signed manifest
remembers the last line that counts, its head. Lines behind the head were never confirmed (a crash,
or somebody who cannot sign): the next change replaces them.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blindfit.errors import IntegrityError
from blindfit.files import PRIVATE, sync_folder
from keys.private import read_private

START = "0" * 64  # what the first line names as the one before
Event = Mapping[str, str | int | None]


class AuditLog:
    """The log in one file. Whoever appends holds the store's lock."""

    def __init__(self, path: Path):
        self._path = path

    def append(self, events: Sequence[Event], *, after: str) -> str:
        """Add a line for each event behind the line ``after``; returns the new head.

        Nothing in ``events`` may be secret. If the log does not hold ``after`` any more, it is set
        aside, and a new one begins by saying so: a damaged log must not keep anybody from revoking
        a key.
        """
        try:
            kept = self._up_to(after)
        except IntegrityError:
            kept, events = [], [{"event": "log lost", "head": after}, *events]
            self._set_aside()
        lines = list(kept)
        for event in events:
            lines.append(_line(event, lines))
        if len(lines) > len(kept):
            self._write(lines[len(kept) :], behind=sum(len(line) + 1 for line in kept))
        return _hash(lines[-1]) if lines else START

    def entries(self, head: str) -> list[dict[str, Any]]:
        """Every line up to the one whose hash is ``head``, oldest first.

        Raises `IntegrityError` that names the line from which on the log cannot be trusted.
        """
        return [json.loads(line) for line in self._up_to(head)]

    def unconfirmed(self, head: str) -> int:
        """How many lines there are behind ``head``; raises `IntegrityError`."""
        return len(self._chain()) - len(self._up_to(head))

    def _up_to(self, head: str) -> list[bytes]:
        lines = self._lines()
        known = START
        for number, line in enumerate([*lines, b""]):
            if known == head:
                return lines[:number]
            if number < len(lines):
                self._require_next(line, number + 1, known)
                known = _hash(line)
        raise IntegrityError(
            f"{self._path}: the last lines are missing",
            hint="somebody or something cut the audit log; compare with a backup",
        )

    def _chain(self) -> list[bytes]:
        known, lines = START, self._lines()
        for number, line in enumerate(lines, start=1):
            self._require_next(line, number, known)
            known = _hash(line)
        return lines

    def _require_next(self, line: bytes, number: int, previous: str) -> None:
        if _field(line, "previous") != previous or _field(line, "number") != number:
            raise IntegrityError(
                f"{self._path}: line {number} does not follow from the line before",
                hint="somebody or something changed the audit log; compare with a backup",
            )

    def _lines(self) -> list[bytes]:
        try:
            content = read_private(self._path)
        except FileNotFoundError:
            return []
        # What a crash left without its end of line was never acknowledged.
        return content.split(b"\n")[:-1]

    def _write(self, lines: list[bytes], *, behind: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(behind)
            file.seek(behind)
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._path.parent)

    def _set_aside(self) -> None:
        if self._path.exists():
            self._path.rename(self._path.with_name(f"audit-damaged-{secrets.token_hex(4)}.jsonl"))


def _line(event: Event, before: list[bytes]) -> bytes:
    entry = {
        "number": len(before) + 1,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **event,
        "previous": _hash(before[-1]) if before else START,
    }
    return json.dumps(entry, separators=(",", ":")).encode()


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _field(line: bytes, name: str) -> Any:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry.get(name) if isinstance(entry, dict) else None


__all__ = ["START", "AuditLog", "Event"]
