"""What nobody else may read: files with loose permissions are refused, core dumps are off."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from blindfit import core_dumps
from blindfit.errors import AccessError
from blindfit.files import PRIVATE, private_folder

_OTHERS = 0o077
_PR_SET_DUMPABLE = 4


def open_private(path: Path) -> BinaryIO:
    """Open a private file for reading.

    The checks are made on what was opened, so that it cannot be exchanged in between. Raises
    `AccessError` if others may use it, FileNotFoundError if it is not there.
    """
    file = _open_regular(path)
    try:
        _require_private(path, os.fstat(file.fileno()))
    except AccessError:
        file.close()
        raise
    return file


def read_private(path: Path) -> bytes:
    """The bytes of a private file; raises as `open_private` does."""
    with open_private(path) as file:
        return file.read()


def read_public(path: Path) -> bytes:
    """The bytes of a file that others may read; anything but a file is refused (`AccessError`)."""
    with _open_regular(path) as file:
        return file.read()


def require_private_folder(path: Path) -> Path:
    """``path`` as a folder of mode 0700, made if it is not there; raises `AccessError`."""
    refuse_shared_folder(path)
    private_folder(path)
    return path


def refuse_shared_folder(path: Path) -> None:
    """Raises `AccessError` if ``path`` is there and not a folder that only its owner may use."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    _refuse_link(path)
    if not stat.S_ISDIR(status.st_mode):
        raise AccessError(f"{path} is not a folder", hint="move it away: somebody put it there")
    _require_private(path, status)


def open_lock_file(path: Path, *, create: bool = True) -> int:
    """A descriptor of a file to lock.

    Raises `AccessError` for a link or a folder, FileNotFoundError if it is not there.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | (os.O_CREAT if create else 0), PRIVATE)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EISDIR}:
            raise
        raise AccessError(
            f"{path} is not a file to lock", hint="remove it: somebody put a link or a folder there"
        ) from error


def disable_core_dumps() -> None:
    """Keep the memory of this process out of core files, and other processes of the user out of it.

    On Linux the process is also marked as not dumpable. That mark is lost in a program that a child
    executes: each program that holds secrets calls this itself. Raises `AccessError`.
    """
    core_dumps.disable_core_dumps()
    if sys.platform == "linux":
        _mark_not_dumpable()


def _mark_not_dumpable() -> None:
    import ctypes

    # prctl(2), PR_SET_DUMPABLE; it also refuses ptrace and /proc/PID/mem to the same user.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise AccessError(
            f"core dumps cannot be switched off: {os.strerror(ctypes.get_errno())}",
            hint="run it where prctl(PR_SET_DUMPABLE) is allowed",
        )


def _open_regular(path: Path) -> BinaryIO:
    _refuse_link(path)
    # A named pipe would let its reader wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise AccessError(f"{path} is not a regular file", hint="put the real file there")


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise AccessError(
            f"{path} is a symbolic link", hint="put the real file there; links are not followed"
        )


def _require_private(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise AccessError(f"{path} belongs to another user", hint="use a home folder of your own")
    if stat.S_IMODE(status.st_mode) & _OTHERS:
        raise AccessError(
            f"{path} may be used by others (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"run `chmod go-rwx {path}`, and rotate if somebody may have read it",
        )


__all__ = [
    "disable_core_dumps",
    "open_lock_file",
    "open_private",
    "read_private",
    "read_public",
    "refuse_shared_folder",
    "require_private_folder",
]
