"""Which keys are in use now, so that a rotation revokes none that results are still due for.

A session holds a shared lock (flock) on ``<root>/in-use/KEY_ID`` from before it encrypts a row
until the last result is decrypted. The lock ends with the process that holds it, so what dead
processes leave is only a file, and the next one to find it unlocked removes it.

Order for whoever uses a key: hold it first, then look whether it is still the one to encrypt with.
A rotation makes the new key the primary first and waits then; so nobody begins with a key
that a rotation has already found unused.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keys.private import open_lock_file, require_private_folder

_POLL = 0.2  # seconds
_REPORT = 10.0  # seconds between two reports


@contextmanager
def using(root: Path, key_id: str) -> Iterator[None]:
    """Hold the key ``key_id`` of the store in ``root`` as being in use."""
    path = _path(root, key_id)
    require_private_folder(path.parent)
    descriptor = _hold_shared(path)
    try:
        yield
    finally:
        _remove_unused(descriptor, path)
        os.close(descriptor)


def wait_until_unused(
    root: Path, key_id: str, *, timeout: float, report: Callable[[int], None]
) -> bool:
    """Whether nobody uses the key any more, after at most ``timeout`` seconds.

    ``report`` is told the whole seconds that are left: at first, and every ten seconds, while
    somebody uses it. 0 seconds only look.
    """
    deadline = time.monotonic() + timeout
    next_report = 0.0
    while not _is_unused(root, key_id):
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= next_report:
            report(round(deadline - now))
            next_report = now + _REPORT
        time.sleep(min(_POLL, deadline - now))
    return True


def _path(root: Path, key_id: str) -> Path:
    return root / "in-use" / key_id


def _hold_shared(path: Path) -> int:
    while True:
        descriptor = open_lock_file(path)
        try:
            # Whoever holds it exclusively only looks, and lets go at once.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            held = _is_at(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if held:
            return descriptor
        os.close(descriptor)  # it was removed in between: a lock on it would be seen by nobody


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _is_unused(root: Path, key_id: str) -> bool:
    path = _path(root, key_id)
    try:
        descriptor = open_lock_file(path, create=False)
    except FileNotFoundError:
        return True
    try:
        return _remove_unused(descriptor, path)
    finally:
        os.close(descriptor)


def _remove_unused(descriptor: int, path: Path) -> bool:
    """Remove the file if nobody else holds it; only ever under the exclusive lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if _is_at(descriptor, path):
        path.unlink()
    return True


__all__ = ["using", "wait_until_unused"]
