"""Publishing: a fitted estimator becomes a signed, immutable model version in the registry.

From a notebook::

    from pathlib import Path
    from blindfit.study import load_study
    from server_app.publish import publish_model

    publish_model(Path("server"), load_study(Path("study.toml")), fitted_estimator)
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindfit.bundle import MANIFEST, SIGNATURE
from blindfit.errors import PublishError
from blindfit.files import write_exclusive
from blindfit.manifest import MODEL_NAME, Manifest
from blindfit.model_card import card_html, card_markdown
from blindfit.model_file import read_model, write_model
from blindfit.privacy_statement import Origin, PrivacyStatement, privacy_statement
from blindfit.schema import Schema
from blindfit.signing import sign_manifest
from blindfit.study import Study, load_study
from server_app.compile import Report, compile_model, quiet
from server_app.evaluation import LabelledRows, evaluate_model, labelled_rows
from server_app.new_manifest import About, new_manifest
from server_app.quantize import is_concrete, output_kind

MODEL_FILE = "model.skops"
CARD_MARKDOWN = "card.md"  # made from the manifest, and not signed: a reader makes its own
CARD_HTML = "card.html"


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
    evaluation: LabelledRows | None = None,
    privacy: PrivacyStatement | None = None,
    report: Report = quiet,
) -> Published:
    """Publish a fitted scikit-learn (or linear Concrete ML) estimator of ``study``.

    ``estimator`` takes encoded rows. ``home`` is the server's folder. ``evaluation``: rows to score
    it on. ``privacy`` is the statement (None: what follows from study and ``training``; without
    ``training`` that is no claim). Raises `PublishError`.
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
        study=study,
        training=training,
        accuracy=accuracy,
        evaluation=evaluation,
        privacy=privacy or _statement(study, training),
        report=report,
    )


def publish_estimator(
    home: Path,
    name: str,
    schema: Schema,
    estimator: Any,
    *,
    n_bits: int = 8,
    study: Study | None = None,
    training: dict[str, Any] | None = None,
    accuracy: dict[str, float] | None = None,
    evaluation: LabelledRows | None = None,
    privacy: PrivacyStatement | None = None,
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
    about = About(name, schema, study, training or {}, privacy)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=registry.root) as staging:
        folder = Path(staging) / "bundle"
        folder.mkdir(mode=0o700)
        compiled = compile_model(estimator, schema.width, n_bits, folder, report=report)
        scored, scores = None, accuracy or {}
        if evaluation is not None:
            report(f"scoring {len(evaluation.y):,} labelled rows, a sample of them encrypted")
            scored, found = evaluate_model(estimator, compiled, schema, evaluation)
            scores = scores | found
        _save_model(estimator, folder)
        version = registry.next_version(name)
        manifest = new_manifest(about, version, output_kind(estimator), compiled, scored, scores)
        _write_bundle(folder, manifest, sign_manifest(key, manifest.to_bytes()))
        report("adding to the registry")
        final = registry.add(folder, manifest)
    return Published(name, manifest.version, final, manifest)


def import_model(
    home: Path,
    model_path: Path,
    study_path: Path,
    *,
    evaluate: Path | None = None,
    report: Report = quiet,
) -> Published:
    """Publish a model that was trained elsewhere: a scikit-learn estimator in a skops file.

    ``evaluate`` is a file of labelled rows to score it on.
    """
    study = load_study(study_path)
    rows = None if evaluate is None else labelled_rows(study, evaluate)
    estimator = read_model(model_path)
    training = {"imported": True}
    return publish_model(home, study, estimator, training=training, evaluation=rows, report=report)


def _statement(study: Study, training: dict[str, Any] | None) -> PrivacyStatement:
    origin: Origin = "imported"
    if training and not training.get("imported"):
        origin = "local" if training.get("algorithm") == "local" else "federated"
    record = training or {}
    admitted = record.get("known_participants", record.get("participants"))
    return privacy_statement(study, participants=admitted, origin=origin)


def _write_bundle(folder: Path, manifest: Manifest, signature: bytes) -> None:
    write_exclusive(folder / MANIFEST, manifest.to_bytes())
    write_exclusive(folder / SIGNATURE, signature)
    write_exclusive(folder / CARD_MARKDOWN, card_markdown(manifest).encode())
    write_exclusive(folder / CARD_HTML, card_html(manifest).encode())


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
