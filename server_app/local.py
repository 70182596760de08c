"""Training without a federation: one data owner, the plain scikit-learn fit."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sklearn.exceptions import ConvergenceWarning

from blindfit.dataset import load
from blindfit.errors import TrainingError
from blindfit.estimators import make_estimator
from blindfit.events import finite
from blindfit.files import private_folder
from blindfit.metrics import evaluate
from blindfit.model_file import write_model
from blindfit.preprocessing import OutOfBounds
from blindfit.study import Study


@dataclass(frozen=True)
class LocalFit:
    """A fitted estimator, the record of its training, what to tell, and where it is kept."""

    estimator: Any
    training: dict[str, Any]
    warning: str
    folder: Path


def train_locally(home: Path, study: Study, path: Path, out_of_bounds: str = "error") -> LocalFit:
    """Fit the study's estimator on the rows in ``path``, and keep it below ``home``.

    Raises `RowsError` for rows that break the schema, and `TrainingError` when scikit-learn cannot
    fit them or they lack a class of the study.
    """
    started = time.monotonic()
    data, estimator = load(study, path, cast(OutOfBounds, out_of_bounds)), make_estimator(study)
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
    told = [data.warning, *(str(w.message).split("\n")[0] for w in caught)]
    folder = _keep(home, study, estimator)
    return LocalFit(estimator, training, "; ".join(filter(None, told)), folder)


def _keep(home: Path, study: Study, estimator: Any) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = private_folder(home / "local" / study.name / stamp)
    write_model(folder / "model.skops", estimator)
    return folder
