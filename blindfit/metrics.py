"""How good a model is on some rows, as sums: the metrics of several participants add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss, mean_tweedie_deviance

from blindfit.estimators import class_labels, tweedie_power
from blindfit.events import finite
from blindfit.study import Study

_SMALLEST_MEAN = 1e-12  # a deviance needs positive means, and an identity link does not give them


@dataclass(frozen=True)
class Metrics:
    """Sums over ``rows`` rows; a mean or a score comes from them at the very end.

    ``loss`` is the estimator's: log loss where it has probabilities, multi-class hinge loss
    (Crammer and Singer 2001) for other classifiers, Tweedie deviance for generalized linear models,
    squared error for other regressors. ``correct`` counts right classes. ``target`` and
    ``target_squared`` are taken from the middle of the study's range, for precision.
    """

    rows: int
    loss: float
    correct: int = 0
    squared_error: float = 0.0
    target: float = 0.0
    target_squared: float = 0.0

    def __add__(self, other: Metrics) -> Metrics:
        return Metrics(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def mean_loss(self) -> float:
        """The loss of a row; NaN without rows."""
        return self.loss / self.rows if self.rows else float("nan")

    def accuracy(self) -> float:
        """The fraction of right classes; NaN without rows."""
        return self.correct / self.rows if self.rows else float("nan")

    def r2(self) -> float:
        """R²: 1 is perfect, 0 as good as the mean; NaN where the target does not vary."""
        if not self.rows:
            return float("nan")
        variation = self.target_squared - self.target * self.target / self.rows
        return 1 - self.squared_error / variation if variation > 0 else float("nan")

    def score(self, study: Study) -> float:
        """Accuracy for classes, R² for values."""
        return self.accuracy() if study.schema_.is_classification else self.r2()

    def named_scores(self, study: Study) -> dict[str, float | None]:
        """``accuracy`` and ``r2``, of which only the study's is not None."""
        score = finite(self.score(study))
        classes = study.schema_.is_classification
        return {"accuracy": score if classes else None, "r2": None if classes else score}

    def as_dict(self) -> dict[str, int | float]:
        """The sums by name."""
        return asdict(self)


def evaluate(estimator: Any, study: Study, X: NDArray[np.float64], y: NDArray[Any]) -> Metrics:
    """The metrics of a fitted estimator on ``X`` (n, width), encoded, and targets ``y`` (n,)."""
    if study.schema_.is_classification:
        correct = int(np.count_nonzero(estimator.predict(X) == y))
        return Metrics(len(X), _classification_loss(estimator, study, X, y), correct)
    bounds = study.schema_.target_range
    middle = 0.0 if bounds is None else (bounds.min + bounds.max) / 2
    predicted = estimator.predict(X)
    squared_error = float(np.sum((predicted - y) ** 2))
    power = tweedie_power(estimator)
    loss = squared_error if power is None else _deviance(y, predicted, power)
    centred = y - middle
    return Metrics(
        len(X), loss, 0, squared_error, float(np.sum(centred)), float(np.sum(centred**2))
    )


def _classification_loss(
    estimator: Any, study: Study, X: NDArray[np.float64], y: NDArray[Any]
) -> float:
    labels = class_labels(study)
    if hasattr(estimator, "predict_proba"):
        return float(log_loss(y, estimator.predict_proba(X), labels=labels, normalize=False))
    decision = estimator.decision_function(X)
    if decision.ndim == 1:
        decision = np.stack([-decision, decision], axis=1) / 2
    true = np.searchsorted(labels, y)[:, np.newaxis]
    own = np.take_along_axis(decision, true, axis=1)[:, 0]
    others = decision.copy()
    np.put_along_axis(others, true, -np.inf, axis=1)
    return float(np.sum(np.maximum(0.0, 1.0 - (own - others.max(axis=1)))))


def _deviance(y: NDArray[np.float64], predicted: NDArray[np.float64], power: float) -> float:
    positive = predicted if power == 0 else np.maximum(predicted, _SMALLEST_MEAN)
    return float(mean_tweedie_deviance(y, positive, power=power)) * len(y)
