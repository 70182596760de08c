"""What nobody else may read: files with loose permissions are refused, core dumps are off."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from blindfit import core_dumps
from blindfit.errors import AccessError
from blindfit.files import private_folder

_OTHERS = 0o077
_PR_SET_DUMPABLE = 4


def open_private(path: Path) -> BinaryIO:
    """Open a private file for reading.

    The checks are made on what was opened, so that it cannot be exchanged in between. Raises
    `AccessError` if others may use it, FileNotFoundError if it is not there.
    """
    _refuse_link(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_private(path, os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_private(path: Path) -> bytes:
    """The bytes of a private file; raises as `open_private` does."""
    with open_private(path) as file:
        return file.read()


def require_private_folder(path: Path) -> Path:
    """``path`` as a folder of mode 0700, made if it is not there; raises `AccessError`."""
    _refuse_link(path)
    private_folder(path)
    _require_private(path, path.lstat())
    return path


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


__all__ = ["disable_core_dumps", "open_private", "read_private", "require_private_folder"]
