"""Whether a daemon runs on a home, and where it listens: for other commands, and a second daemon.

The lock tells the truth even after a crash; ``daemon.json`` only adds the addresses.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from blindfit.errors import UnavailableError
from blindfit.files import write_atomic
from server_app.layout import Layout

_ATTEMPTS = 5
_PAUSE = 0.1  # seconds


@dataclass(frozen=True)
class Running:
    """A daemon that serves: its process and its addresses, ``host:port``."""

    pid: int
    address: str
    enroll_address: str


@contextmanager
def only_daemon(layout: Layout) -> Iterator[None]:
    """Hold the home for one daemon; raises `UnavailableError` if another one has it."""
    descriptor = os.open(layout.daemon_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(descriptor):
            raise UnavailableError(
                f"another daemon serves {layout.home}", hint="stop it first, or use another home"
            )
        try:
            yield
        finally:
            layout.daemon.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    # `find_running` holds the lock for an instant: a daemon that starts just then tries again.
    for _ in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE)
    return False


def announce(layout: Layout, running: Running) -> None:
    """Tell other commands where the daemon listens."""
    write_atomic(layout.daemon, json.dumps(asdict(running)).encode())


def find_running(layout: Layout) -> Running | None:
    """The daemon that serves this home now, if there is one."""
    try:
        descriptor = os.open(layout.daemon_lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _announced(layout)
    finally:
        os.close(descriptor)


def _announced(layout: Layout) -> Running | None:
    try:
        return Running(**json.loads(layout.daemon.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
