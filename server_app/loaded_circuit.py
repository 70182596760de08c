"""A circuit that is loaded and can be run: what Concrete ML's ``FHEModelServer`` does.

Written on ``concrete.fhe``, because importing ``concrete.ml`` for these few calls costs 230 MB and
5 s more (692 against 462 MB resident, 12.8 against 7.8 s).
"""

from __future__ import annotations

import json
import zipfile
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from concrete import fhe


class LoadedCircuit:
    """The program in a ``server.zip``, which is code: its hash was checked by the caller."""

    def __init__(self, path: Path):
        """Load it; raises ValueError if another version of Concrete made it."""
        _check_version(path)
        self._server: Any = fhe.Server.load(path)

    def run(self, ciphertext: bytes, key: Any) -> bytes:
        """Run one encrypted row with a deserialized key, as its owner can decrypt it.

        Raises RuntimeError or ValueError for bytes that are not this circuit's ciphertext.
        """
        row = fhe.Value.deserialize(ciphertext)
        result = self._server.run(row, evaluation_keys=key)
        if not isinstance(result, fhe.Value):
            raise ValueError("the circuit has more than one result")
        serialized: bytes = result.serialize()
        return serialized


def _check_version(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        made_with = json.loads(archive.read("versions.json"))["concrete-python"]
    installed = installed_version("concrete-python")
    if made_with != installed:
        raise ValueError(f"made with concrete-python {made_with}; {installed} is installed")
