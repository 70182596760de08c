"""Publishing: a fitted estimator becomes a signed, immutable model version in the registry.

From a notebook::

    from pathlib import Path
    from blindfit.study import load_study
    from server_app.publish import publish_model

    publish_model(Path("server"), load_study(Path("study.toml")), fitted_estimator)
"""

from __future__ import annotations

import hashlib
import platform
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from blindfit import __version__
from blindfit.bundle import CLIENT_ZIP, MANIFEST, SERVER_ZIP, SIGNATURE
from blindfit.errors import PublishError
from blindfit.files import write_exclusive
from blindfit.manifest import MODEL_NAME, FileEntry, Manifest
from blindfit.model_file import read_model, write_model
from blindfit.schema import Schema
from blindfit.signing import sign_manifest
from blindfit.study import Study, load_study
from server_app.compile import Compiled, Report, compile_model, quiet
from server_app.quantize import is_concrete, output_kind

MODEL_FILE = "model.skops"
_PACKAGES = ("concrete-ml", "concrete-python", "scikit-learn", "numpy", "flwr")


@dataclass(frozen=True)
class Published:
    """A new model version and where it is."""

    model: str
    version: int
    folder: Path
    manifest: Manifest


def publish_model(
    home: Path,
    study: Study,
    estimator: Any,
    *,
    training: dict[str, Any] | None = None,
    accuracy: dict[str, float] | None = None,
    report: Report = quiet,
) -> Published:
    """Publish a fitted scikit-learn (or linear Concrete ML) estimator of ``study``.

    ``estimator`` takes encoded rows. ``home`` is the server's folder. Raises `PublishError`.
    """
    named = type(estimator).__name__
    if named != study.model.estimator:
        raise PublishError(f"the study trains {study.model.estimator}; this is a {named}")
    return publish_estimator(
        home,
        study.name,
        study.schema_,
        estimator,
        n_bits=study.fhe.n_bits,
        study_digest=study.digest,
        training=training,
        accuracy=accuracy,
        report=report,
    )


def publish_estimator(
    home: Path,
    name: str,
    schema: Schema,
    estimator: Any,
    *,
    n_bits: int = 8,
    study_digest: str | None = None,
    training: dict[str, Any] | None = None,
    accuracy: dict[str, float] | None = None,
    report: Report = quiet,
) -> Published:
    """Publish any fitted estimator that Concrete ML can run, under ``name``, without a study.

    A Concrete ML tree must have been fitted on encoded rows (`blindfit.preprocessing.encode`).
    """
    from server_app.authority import load_publisher_key
    from server_app.registry import Registry

    if not re.fullmatch(MODEL_NAME, name):
        raise PublishError(
            f"{name!r} cannot be a model's name", hint="use a-z 0-9 . _ - and at most 63 of them"
        )
    home = Path(home)
    _check_classes(estimator, schema)
    _check_outputs(estimator, schema)
    key = load_publisher_key(home)
    registry = Registry(home)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=registry.root) as staging:
        folder = Path(staging) / "bundle"
        folder.mkdir(mode=0o700)
        compiled = compile_model(estimator, schema.width, n_bits, folder, report=report)
        _save_model(estimator, folder)
        manifest = Manifest(
            format=1,
            model=name,
            version=registry.next_version(name),
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            study_digest=study_digest,
            estimator=type(compiled.quantized).__name__,
            output=output_kind(estimator),
            schema=schema,
            circuit=compiled.circuit,
            probes=compiled.probes,
            gate=compiled.gate,
            accuracy=accuracy or {},
            training=training or {},
            packages=_packages(),
            files=_files(compiled),
        )
        content = manifest.to_bytes()
        write_exclusive(folder / MANIFEST, content)
        write_exclusive(folder / SIGNATURE, sign_manifest(key, content))
        report("adding to the registry")
        final = registry.add(folder, manifest)
    return Published(name, manifest.version, final, manifest)


def import_model(
    home: Path,
    model_path: Path,
    study_path: Path,
    *,
    report: Report = quiet,
) -> Published:
    """Publish a model that was trained elsewhere: a scikit-learn estimator in a skops file."""
    study = load_study(study_path)
    estimator = read_model(model_path)
    return publish_model(home, study, estimator, training={"imported": True}, report=report)


def _check_classes(estimator: Any, schema: Schema) -> None:
    classes = getattr(estimator, "classes_", None)
    given = None if classes is None else tuple(classes.tolist())
    if given != schema.classes:
        raise PublishError(f"the model's classes are {given}, the schema's {schema.classes}")


def _check_outputs(estimator: Any, schema: Schema) -> None:
    coefficients = getattr(estimator, "coef_", None)
    if coefficients is None:
        return  # a tree has none; what it predicts are its classes or one value
    outputs = coefficients.shape[0] if coefficients.ndim == 2 else 1
    classes = len(schema.classes or ())
    expected = classes if classes > 2 else 1
    if outputs != expected:
        raise PublishError(f"the model has {outputs} outputs; the schema needs {expected}")


def _save_model(estimator: Any, folder: Path) -> None:
    if not is_concrete(estimator):
        write_model(folder / MODEL_FILE, estimator)


def _files(compiled: Compiled) -> dict[str, FileEntry]:
    entries = {}
    for name in (CLIENT_ZIP, SERVER_ZIP):
        content = (compiled.folder / name).read_bytes()
        entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return entries


def _packages() -> dict[str, str]:
    versions = {name: package_version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "blindfit": __version__, **versions}
