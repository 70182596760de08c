"""Events that must never be lost, in a folder that several processes use at once.

``ledger.jsonl`` is an `AuditLog`: each line holds the hash of the one before. ``ledger.head`` holds
the hash of the last line that counts and is replaced whole, after the lines are on disk. So an
event is in the ledger or it is not, whenever the process dies; and a ledger that was changed,
shortened or removed is refused. What cannot be told is that both files were put back to an older
state together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from blindfit.errors import IntegrityError
from blindfit.files import sweep_temporary, sync_folder, write_atomic
from keys.audit import START, AuditLog, Event
from keys.lock import exclusive
from keys.private import read_private, require_private_folder

Entry = dict[str, Any]

_HASH = re.compile(rb"[0-9a-f]{64}\n")


class Ledger:
    """The files in ``folder``, which are made with the first event."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._head = folder / "ledger.head"
        self._lines = folder / "ledger.jsonl"
        self._log = AuditLog(self._lines)

    def entries(self) -> list[Entry]:
        """Every event so far, oldest first, with its ``number`` and ``time``.

        Raises `IntegrityError` for a ledger that is not as it was left, `AccessError` for one that
        others may read.
        """
        return self._log.entries(self._read_head())

    @contextmanager
    def changing(self) -> Iterator[list[Entry]]:
        """The events so far, while no other process adds to them."""
        require_private_folder(self._folder)
        with exclusive(self._folder / "ledger.lock"):
            sweep_temporary(self._folder)
            yield self.entries()

    def append(self, events: Sequence[Event]) -> None:
        """Add ``events``: all of them are on disk when this returns.

        The caller is inside `changing`.
        """
        if not self._head.exists():
            self._begin()
        head = self._log.append(events, after=self._read_head())
        write_atomic(self._head, head.encode() + b"\n")

    def _begin(self) -> None:
        # The head first: lines without one would mean that it was lost, and everything with it.
        write_atomic(self._head, START.encode() + b"\n")
        for parent in self._folder.parents:  # each of them may be new
            with suppress(PermissionError):  # which one that we made never raises
                sync_folder(parent)

    def _read_head(self) -> str:
        try:
            content = read_private(self._head)
        except FileNotFoundError:
            if self._lines.exists():
                raise self._lost("its head is missing") from None
            return START
        if not _HASH.fullmatch(content):
            raise self._lost("its head is damaged")
        return content.decode().strip()

    def _lost(self, reason: str) -> IntegrityError:
        return IntegrityError(
            f"{self._lines}: {reason}",
            hint=f"restore {self._folder} from a backup that is newer than the last training",
        )


__all__ = ["Entry", "Ledger"]
