"""Signed bundles without a circuit, for what never runs one: keys are random bytes in a frame."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from blindfit.frame import FixedRun, Frame
from blindfit.manifest import Manifest
from blindfit.schema import Schema
from blindfit.signing import sign_manifest
from server_app.authority import load_publisher_key
from server_app.registry import Registry

PARAMS = "ab" * 32
_HEAD = b"honest header ok"


def frame_of(length: int = 64) -> Frame:
    """The frame of messages that are random but for their first 16 bytes."""
    return Frame(length=length, fixed=(FixedRun(offset=0, content=_HEAD.hex()),))


def honest(length: int = 64) -> bytes:
    """A message with the frame of `frame_of`."""
    return _HEAD + os.urandom(length - len(_HEAD))


def stage(
    home: Path, model: str, version: int, *, params_id: str = PARAMS, key_bytes: int = 64
) -> tuple[Path, Manifest]:
    """A signed bundle, ready for `Registry.add`."""
    folder = Registry(home).root / f".staging-{os.urandom(4).hex()}"
    folder.mkdir()
    files = {}
    for name in ("client.zip", "server.zip"):
        content = os.urandom(100)
        (folder / name).write_bytes(content)
        files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    document = {
        "format": 1,
        "model": model,
        "version": version,
        "created": "2026-01-01T00:00:00+00:00",
        "study_digest": "cd" * 32,
        "estimator": "LogisticRegression",
        "output": "sigmoid",
        "schema": _schema().model_dump(by_alias=True),
        "circuit": _circuit(params_id, key_bytes),
        "probes": {"lower": [0], "upper": [1]},
        "gate": {"rows": 1, "agreed": 1},
        "accuracy": {},
        "training": {},
        "packages": {},
        "files": files,
    }
    manifest = Manifest.model_validate(document)
    content = manifest.to_bytes()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(sign_manifest(load_publisher_key(home), content))
    return folder, manifest


def publish(
    home: Path, model: str = "digits", *, params_id: str = PARAMS, key_bytes: int = 64
) -> int:
    """Publish the next version of ``model``; returns its number."""
    registry = Registry(home)
    version = registry.next_version(model)
    registry.add(*stage(home, model, version, params_id=params_id, key_bytes=key_bytes))
    return registry.current(model)


def _schema() -> Schema:
    feature = {"name": "x", "kind": "number", "min": 0, "max": 1}
    return Schema.model_validate({"target": "y", "classes": [0, 1], "features": [feature]})


def _circuit(params_id: str, key_bytes: int) -> dict[str, object]:
    return {
        "params_id": params_id,
        "n_bits": 8,
        "bits": 20,
        "inputs": 1,
        "outputs": 1,
        "programmable_bootstraps": False,
        "input": frame_of().model_dump(),
        "output": frame_of(96).model_dump(),
        "evaluation_keys": frame_of(key_bytes).model_dump(),
    }
