"""Kills this process with SIGKILL at the N-th of the operations that change files in a folder.

Counted are opening for writing, each write (once before it, once when half of it is on disk),
truncating, fsync, rename, link and unlink; and whatever `KillPoints.reach` is called for. Python's
``os`` is patched in this process only: make it one that may die.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class KillPoints:
    """``at`` is the number of the point to die at; 0 never dies and only counts."""

    def __init__(self, folder: Path, at: int):
        self._folder = str(folder.resolve())
        self._at = at
        self.reached = 0

    def reach(self) -> bool:
        """Count one point; whether it is the one to die at."""
        self.reached += 1
        return self.reached == self._at

    def die_if_reached(self) -> None:
        """A point that has nothing to do half-way."""
        if self.reach():
            die()

    def install(self) -> None:
        """Patch ``os`` for the rest of this process's life."""
        open_file, open_descriptor = os.open, os.fdopen

        def counted_open(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if flags & _WRITING and self._is_inside(path):
                self.die_if_reached()
            return open_file(path, flags, *args, **options)

        def counted_fdopen(descriptor: int, mode: str = "r", *args: Any, **options: Any) -> Any:
            file = open_descriptor(descriptor, mode, *args, **options)
            writes = mode != "rb" and self._is_inside(f"/proc/self/fd/{descriptor}")
            return _CountedFile(file, self) if writes else file

        os.open, os.fdopen = counted_open, counted_fdopen  # type: ignore[assignment]
        for name in ("rename", "replace", "link", "unlink", "ftruncate"):
            setattr(os, name, self._counted(getattr(os, name)))
        os.fsync = self._counted(os.fsync)

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def counted(target: Any, *args: Any, **options: Any) -> Any:
            path = f"/proc/self/fd/{target}" if isinstance(target, int) else target
            if self._is_inside(path):
                self.die_if_reached()
            return operation(target, *args, **options)

        return counted

    def _is_inside(self, path: Any) -> bool:
        text = str(os.fspath(path))
        if text.startswith("/proc/self/fd/"):
            text = str(Path(text).readlink())
        return text.startswith(self._folder + os.sep) or text == self._folder


class _CountedFile:
    """A file opened for writing, whose writes can be torn."""

    def __init__(self, file: Any, points: KillPoints):
        self._file = file
        self._points = points

    def write(self, data: Any) -> int:
        self._points.die_if_reached()
        if self._points.reach():
            self._file.write(bytes(data)[: len(data) // 2])
            self._file.flush()
            die()
        return int(self._file.write(data))

    def truncate(self, size: int | None = None) -> int:
        self._points.die_if_reached()
        return int(self._file.truncate(size))

    def __enter__(self) -> _CountedFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


__all__ = ["KillPoints", "die"]
