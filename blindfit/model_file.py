"""Trained scikit-learn estimators in files: skops, never pickle."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from blindfit.errors import InputError
from blindfit.files import write_atomic

# Types that skops does not trust by itself and that estimators of a study hold: the loss and the
# link function of generalized linear models, and numbers of numpy.
TRUSTED_TYPES = frozenset(
    {
        "numpy.float64",
        "_loss.CyHalfPoissonLoss",
        "_loss.CyHalfGammaLoss",
        "_loss.CyHalfTweedieLoss",
        "_loss.CyHalfTweedieLossIdentity",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
    }
)
# skops 0.5 imports the module that a node names before it audits the types.
_MODULES = frozenset({"_loss", "builtins", "numpy", "scipy", "sklearn"})
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    zipfile.BadZipFile,
)


def write_model(path: Path, estimator: Any) -> None:
    """Write ``estimator`` to ``path``: whole, or not at all."""
    import skops.io

    write_atomic(path, skops.io.dumps(estimator))


def read_model(path: Path) -> Any:
    """The estimator in ``path``; its types are audited before anything is imported or made.

    Raises `InputError` for a file that is not skops, or that holds a type outside scikit-learn's
    linear models.
    """
    import skops.io

    try:
        data = path.read_bytes()
        _refuse_foreign_modules(path, data)
        unknown = set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES
        if unknown:
            raise InputError(
                f"{path} holds types that are not trusted: {', '.join(sorted(unknown))}"
            )
        return skops.io.loads(data, trusted=sorted(TRUSTED_TYPES))
    except _UNREADABLE as error:
        raise InputError(f"{path} is not a skops model: {error}") from error


def _refuse_foreign_modules(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        nodes: list[Any] = [json.loads(archive.read("schema.json"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            nodes += node.values()
            module = node.get("__module__", "builtins")
            if not isinstance(module, str) or module.split(".")[0] not in _MODULES:
                raise InputError(f"{path} holds types that are not trusted: from {module!s:.60}")
