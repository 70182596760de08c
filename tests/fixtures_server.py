"""A server's home with hand-made bundles, for tests of `server_app` that run no circuit."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from blindfit.frame import Frame
from blindfit.manifest import Manifest
from blindfit.schema import Schema
from blindfit.signing import sign_manifest
from keys.identity import new_identity_request
from server_app.authority import load_publisher_key
from server_app.database import Database
from server_app.layout import Layout
from server_app.registry import Registry
from server_app.tenants import Tenants

PARAMS = "ab" * 32
YEAR = 365 * 86_400.0


def frame_of(length: int = 64) -> Frame:
    """The frame of messages that are random but for their first 16 bytes."""
    head = b"honest header ok"
    return Frame.measure([head + os.urandom(length - 16) for _ in range(3)])


def honest(length: int = 64) -> bytes:
    """A message with the frame of `frame_of`."""
    return b"honest header ok" + os.urandom(length - 16)


def stage(
    home: Path, model: str, version: int, *, params_id: str = PARAMS
) -> tuple[Path, Manifest]:
    """A signed bundle, ready for `Registry.add`."""
    folder = Registry(home).root / f".staging-{os.urandom(4).hex()}"
    folder.mkdir()
    files = {}
    for name in ("client.zip", "server.zip"):
        content = os.urandom(100)
        (folder / name).write_bytes(content)
        files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    schema = Schema.model_validate(
        {
            "target": "y",
            "classes": [0, 1],
            "features": [{"name": "x", "kind": "number", "min": 0, "max": 1}],
        }
    )
    manifest = Manifest.model_validate(
        {
            "format": 1,
            "model": model,
            "version": version,
            "created": "2026-01-01T00:00:00+00:00",
            "study_digest": "cd" * 32,
            "estimator": "LogisticRegression",
            "output": "sigmoid",
            "schema": schema.model_dump(by_alias=True),
            "circuit": {
                "params_id": params_id,
                "n_bits": 8,
                "bits": 20,
                "inputs": 1,
                "outputs": 1,
                "programmable_bootstraps": False,
                "input": frame_of().model_dump(),
                "output": frame_of(96).model_dump(),
                "evaluation_keys": frame_of().model_dump(),
            },
            "probes": {"lower": [0], "upper": [1]},
            "gate": {"rows": 1, "agreed": 1},
            "accuracy": {},
            "training": {},
            "packages": {},
            "files": files,
        }
    )
    content = manifest.to_bytes()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(sign_manifest(load_publisher_key(home), content))
    return folder, manifest


def publish(home: Path, model: str = "digits", *, params_id: str = PARAMS) -> int:
    """Publish the next version of ``model``; returns its number."""
    registry = Registry(home)
    registry.add(*stage(home, model, registry.next_version(model), params_id=params_id))
    return registry.current(model)


def open_tenants(home: Path) -> Tenants:
    """The tenants of a home, whose certificates last a year."""
    return Tenants(home, Database.open(Layout(home).database), YEAR)


def request_for(name: str = "anybody") -> bytes:
    """A certificate request with a new key."""
    return new_identity_request(name)[1]
