"""A lock between processes, held on a file that stays; it ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blindfit.errors import UnavailableError
from keys.private import open_lock_file

_POLL = 0.02  # seconds


@contextmanager
def exclusive(path: Path, *, timeout: float = 30.0) -> Iterator[None]:
    """Hold the lock file ``path``.

    Raises `UnavailableError` after ``timeout`` seconds, `AccessError` if it is no file.
    """
    descriptor = open_lock_file(path)
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
