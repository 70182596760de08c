"""Files that must not be half-written, and files that only their owner may read."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def private_folder(path: Path) -> Path:
    """Make ``path`` (and its parents) with mode 0700 if it is not there; returns it."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    return path


def write_exclusive(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Create ``path`` with ``data``; raises FileExistsError rather than overwrite."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Replace ``path`` by ``data``: after a crash it holds the old bytes or the new ones, whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    write_exclusive(temporary, data, mode)
    try:
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sweep_temporary(folder: Path) -> None:
    """Remove what `write_atomic` left in ``folder`` when its process died.

    The caller holds the lock under which everybody writes there: so the writers are dead.
    """
    for path in folder.glob(".*.tmp"):
        if path.is_symlink() or not path.is_dir():  # nobody writes into folders of such a name
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames and creations in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
