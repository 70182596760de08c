"""A lock between processes, held on a file that stays; it ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blindfit.errors import UnavailableError
from blindfit.files import PRIVATE

_POLL = 0.02  # seconds


@contextmanager
def exclusive(path: Path, *, timeout: float = 30.0) -> Iterator[None]:
    """Hold the lock file ``path``; raises `UnavailableError` after ``timeout`` seconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        _wait(descriptor, path, time.monotonic() + timeout)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"another process is changing {path.parent}",
                    hint="wait until it has finished, and try again",
                ) from error
        time.sleep(_POLL)


__all__ = ["exclusive"]
