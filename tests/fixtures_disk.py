"""What a disk is told, in order: it may keep or lose whatever was not synced at a power cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


class DiskLog:
    """Records syncs, names given (rename, replace, link) and names removed, below ``folder``."""

    def __init__(self, folder: Path):
        self._folder = folder.resolve()
        self.told: list[tuple[str, ...]] = []

    def install(self, patches: pytest.MonkeyPatch) -> None:
        """Patch ``os`` until the test is over."""
        for name in ("rename", "replace", "link"):
            self._patch(patches, name, "name", 2)
        self._patch(patches, "unlink", "unlink", 1)
        self._patch(patches, "fsync", "sync", 1)

    def _patch(self, patches: pytest.MonkeyPatch, name: str, told: str, paths: int) -> None:
        operation = getattr(os, name)

        def recorded(*args: Any, **options: Any) -> Any:
            found = [self._path(arg) for arg in args[:paths]]
            operation(*args, **options)
            self.told.append((told, *found))

        patches.setattr(os, name, recorded)

    def _path(self, target: Any) -> str:
        if isinstance(target, int):
            target = Path(f"/proc/self/fd/{target}").readlink()
        path = Path(target)
        return str(path.relative_to(self._folder)) if path.is_relative_to(self._folder) else "?"

    def names(self) -> list[str]:
        """What got a name, in this order; each was synced before, and its folder after."""
        for number, (told, *paths) in enumerate(self.told):
            if told == "name":
                source, target = paths
                assert ("sync", source) in self.told[:number], f"{target} before its bytes"
                self._require_folder(number, target)
        return [paths[1] for told, *paths in self.told if told == "name"]

    def removed(self) -> list[str]:
        """What lost its name for good; its folder was synced after."""
        for number, (told, *paths) in enumerate(self.told):
            if told == "unlink":
                self._require_folder(number, paths[0])
        return [paths[0] for told, *paths in self.told if told == "unlink"]

    def _require_folder(self, number: int, path: str) -> None:
        folder = str(Path(path).parent)
        assert ("sync", folder) in self.told[number + 1 :], f"the name {path} may be lost"

    def index(self, *entry: str) -> int:
        """When the disk was told this for the first time."""
        return self.told.index(entry)


__all__ = ["DiskLog"]
