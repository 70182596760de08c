"""Which version of a model is current, and which are retired: one small file, replaced whole."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blindfit.errors import BundleError
from blindfit.files import write_atomic

_FILE, _LOCK = "serving.json", ".lock"


@dataclass(frozen=True)
class ServingState:
    """The current version, None before the first and after the last, and the retired ones."""

    current: int | None = None
    retired: frozenset[int] = frozenset()

    def of(self, version: int) -> str:
        """``current``, ``retired`` or ``served``."""
        if version == self.current:
            return "current"
        return "retired" if version in self.retired else "served"

    def promoted(self, version: int) -> ServingState:
        """With ``version`` as the current one."""
        return ServingState(version, self.retired - {version})

    def retire(self, version: int) -> ServingState:
        """With ``version`` no longer served."""
        current = None if self.current == version else self.current
        return ServingState(current, self.retired | {version})


def read_serving(folder: Path) -> ServingState:
    """The state in a model's folder; raises `BundleError` if the file is damaged."""
    try:
        document = json.loads((folder / _FILE).read_bytes())
        return ServingState(document["current"], frozenset(document["retired"]))
    except FileNotFoundError:
        return ServingState()
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder / _FILE} is damaged: {error}") from error


def change_serving(folder: Path, change: Callable[[ServingState], ServingState]) -> None:
    """Replace the state, while no other process does."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / _LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        state = change(read_serving(folder))
        document = {"current": state.current, "retired": sorted(state.retired)}
        write_atomic(folder / _FILE, json.dumps(document).encode())
    finally:
        os.close(descriptor)
