"""Kills the process that it is installed in at one step of what that process writes.

A step is an operating system call that changes a file under a folder, or the commit of a database
transaction; a process may die before each, after each, and in the middle of a write.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server_app.database import Database

_PATH_CALLS = ("rename", "replace", "unlink", "mkdir")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class KillAt:
    """Dies at the ``step``-th step, counted from 1; callable, so that it can prepare a process.

    ``journal`` gets a line for each step that was reached, whichever it died at.
    """

    folder: Path
    step: int
    journal: Path

    def __call__(self) -> None:
        """Install it in this process."""
        self._count = 0
        for name in _PATH_CALLS:
            setattr(os, name, self._around(name, getattr(os, name), self._below))
        os.open = self._around("open", os.open, self._opens)
        os.fsync = self._around("fsync", os.fsync, self._inside)
        os.pwrite = self._torn(os.pwrite)  # type: ignore[assignment]
        Database.writing = self._committing(Database.writing)  # type: ignore[method-assign]

    def _reach(self, name: str) -> bool:
        """Note a step; whether it is the one to die at."""
        self._count += 1
        line = f"{name}\n".encode()
        descriptor = _OPEN(self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, line)
        os.close(descriptor)
        return self._count == self.step

    def _pass(self, name: str) -> None:
        if self._reach(name):
            _die()

    def _around(
        self, name: str, call: Callable[..., Any], counts: Callable[..., bool]
    ) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            counted = counts(*arguments)
            if counted:
                self._pass(f"before {name}")
            result = call(*arguments, **options)
            if counted:
                self._pass(f"after {name}")
            return result

        return wrapped

    def _below(self, path: Any, *_: Any) -> bool:
        return Path(os.fsdecode(path)).is_relative_to(self.folder)

    def _opens(self, path: Any, flags: int, *_: Any) -> bool:
        return bool(flags & _WRITES) and self._below(path)

    def _inside(self, descriptor: int) -> bool:
        return Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(self.folder)

    def _torn(self, call: Callable[..., int]) -> Callable[..., int]:
        def wrapped(descriptor: int, data: Any, offset: int) -> int:
            self._pass("before pwrite")
            if self._reach("half of pwrite"):
                call(descriptor, memoryview(data)[: len(data) // 2], offset)
                _die()
            written = call(descriptor, data, offset)
            self._pass("after pwrite")
            return written

        return wrapped

    def _committing(self, writing: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def wrapped(database: Database) -> Iterator[Any]:
            with writing(database) as connection:
                yield connection
                self._pass("before commit")
            self._pass("after commit")

        return wrapped


_OPEN = os.open


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
