"""Training without a federation: one data owner, the plain scikit-learn fit."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from blindfit.dataset import load
from blindfit.errors import TrainingError
from blindfit.estimators import make_estimator
from blindfit.events import finite
from blindfit.metrics import evaluate
from blindfit.study import Study


@dataclass(frozen=True)
class LocalFit:
    """A fitted estimator, the record of its training, and what the person should know."""

    estimator: Any
    training: dict[str, Any]
    warning: str


def train_locally(study: Study, path: Path) -> LocalFit:
    """Fit the study's estimator on the rows in ``path``.

    Raises `RowsError` for rows that break the schema, and `TrainingError` when scikit-learn cannot
    fit them or they lack a class of the study.
    """
    started = time.monotonic()
    data, estimator = load(study, path), make_estimator(study)
    present = set(data.y.tolist())
    absent = [str(label) for label in study.schema_.classes or () if label not in present]
    if absent:
        raise TrainingError(
            f"{path} has no row of the classes {', '.join(absent)}",
            hint="add such rows, or take the classes out of the study",
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            estimator.fit(data.X, data.y)
        except ValueError as error:
            raise TrainingError(f"scikit-learn cannot fit {path}: {error}") from error
    metrics = evaluate(estimator, study, data.X, data.y)
    training = {
        "algorithm": "local",
        "participants": 1,
        "rows": metrics.rows,
        "rounds": 1,
        "history": [
            {
                "round": 1,
                "participants": 1,
                "refused": 0,
                "rows": metrics.rows,
                "seconds": round(time.monotonic() - started, 3),
                "loss": finite(metrics.mean_loss()),
                **metrics.named_scores(study),
            }
        ],
    }
    return LocalFit(estimator, training, "; ".join(str(w.message).split("\n")[0] for w in caught))
