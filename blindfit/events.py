"""Progress as JSON lines in a file: written by one process, followed by another.

Flower runs our apps in processes of its own; a file is how they tell a command what happens.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def append_event(path: Path, name: str, **details: Any) -> None:
    """Add one line to ``path``; a number that is not finite becomes null."""
    line = json.dumps({"event": name} | {key: finite(value) for key, value in details.items()})
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def finite(value: Any) -> Any:
    """``value``, or None for a NaN or an infinity, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class EventReader:
    """Follows a file of events; ``from_now`` leaves out what is already in it."""

    def __init__(self, path: Path, *, from_now: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if from_now and path.exists() else 0

    def read(self) -> list[Event]:
        """The events since the last call; none while the file is not there."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]  # the last line may still be being written
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
