"""Folders that Concrete can link circuits in.

It runs the linker by a shell command with paths that are not quoted: a space breaks it, and other
characters would be commands.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from blindfit.errors import PublishError

_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
_FALLBACK = "/tmp"  # noqa: S108 - mkdtemp makes a folder of its own in it, mode 0700


def linkable_folder(folder: Path) -> Path:
    """``folder``, or a new private one elsewhere if its name cannot stand in a shell command."""
    if _PLAIN.fullmatch(str(folder)):
        return folder
    return Path(tempfile.mkdtemp(prefix="blindfit-", dir=_FALLBACK)) / folder.name


def check_temporary_folder() -> None:
    """Raise `PublishError` if circuits cannot be linked in the folder for temporary files."""
    folder = tempfile.gettempdir()
    if not _PLAIN.fullmatch(folder):
        raise PublishError(
            f"circuits cannot be linked in {folder!r}",
            hint="set TMPDIR to a folder whose name has only letters, digits and . _ + -",
        )
