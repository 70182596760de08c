"""The manifest of a new model version: what was measured, and what is said about it."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import Any

from blindfit import __version__
from blindfit.bundle import CLIENT_ZIP, SERVER_ZIP
from blindfit.manifest import Evaluation, FileEntry, Manifest, Output
from blindfit.privacy_statement import PrivacyStatement
from blindfit.schema import Schema
from blindfit.study import Study
from server_app.compile import Compiled

_PACKAGES = ("concrete-ml", "concrete-python", "scikit-learn", "numpy", "flwr")


@dataclass(frozen=True)
class About:
    """What is said of a model beside what is measured of its circuit."""

    name: str
    schema: Schema
    study: Study | None
    training: dict[str, Any]
    privacy: PrivacyStatement | None


def new_manifest(
    about: About,
    version: int,
    output: Output,
    compiled: Compiled,
    evaluation: Evaluation | None,
    accuracy: dict[str, float],
) -> Manifest:
    """What is signed; ``evaluation`` and ``accuracy`` are the scores and the rows behind them."""
    study = about.study
    return Manifest(
        format=1,
        model=about.name,
        version=version,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        study_digest=None if study is None else study.digest,
        estimator=type(compiled.quantized).__name__,
        output=output,
        schema=about.schema,
        circuit=compiled.circuit,
        probes=compiled.probes,
        gate=compiled.gate,
        accuracy=accuracy,
        training=about.training,
        packages=_packages(),
        files=_files(compiled),
        study=None if study is None else json.loads(study.canonical()),
        privacy=about.privacy,
        evaluation=evaluation,
        cost=compiled.cost,
    )


def _files(compiled: Compiled) -> dict[str, FileEntry]:
    entries = {}
    for name in (CLIENT_ZIP, SERVER_ZIP):
        content = (compiled.folder / name).read_bytes()
        entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return entries


def _packages() -> dict[str, str]:
    versions = {name: package_version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "blindfit": __version__, **versions}


__all__ = ["About", "new_manifest"]
