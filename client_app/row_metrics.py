"""What one row says about the incoming model: the numbers that ride along with its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.estimators import Parameters, class_labels, set_parameters
from blindfit.linear_loss import row_losses
from blindfit.standard_units import standard_units
from blindfit.study import Study
from blindfit.sum_layout import extras, loss_ceiling

Floats = NDArray[np.float64]

_SMALLEST_PROBABILITY = 1e-300  # its logarithm is far above any ceiling, and finite


def row_metrics(
    study: Study, estimator: Any, parameters: Parameters, X: Floats, y: NDArray[Any]
) -> Floats:
    """The extras (n, extras) of each row: in [0, 1], and a distance from the middle in [-1, 1].

    ``estimator`` is what `make_estimator` gives, and gets ``parameters``, which are standardised.
    Losses are those of `blindfit.metrics.Metrics`, divided by their ceiling.
    """
    set_parameters(estimator, study, standard_units(study, estimator).to_model(parameters))
    if study.schema_.is_classification:
        told = _of_classes(study, estimator, X, y)
    else:
        told = _of_values(study, estimator, X, y)
        if "loss" in extras(study):
            told["loss"] = row_losses(study, estimator, parameters, X, y) / loss_ceiling(study)
    told["rows"] = np.ones(len(X))
    # No NaN: the bound on what a row can move must not depend on how a model went wrong.
    columns = np.nan_to_num(np.stack([told[name] for name in extras(study)], axis=1))
    return np.clip(columns, [_lowest(name) for name in extras(study)], 1.0)


def _lowest(name: str) -> float:
    return -1.0 if name == "target" else 0.0


def _of_classes(study: Study, estimator: Any, X: Floats, y: NDArray[Any]) -> dict[str, Floats]:
    correct = (estimator.predict(X) == y).astype(np.float64)
    own = np.searchsorted(class_labels(study), y)
    loss = _log_loss if hasattr(estimator, "predict_proba") else _hinge_loss
    return {"loss": loss(estimator, X, own) / loss_ceiling(study), "correct": correct}


def _log_loss(estimator: Any, X: Floats, own: NDArray[np.int64]) -> Floats:
    of_own = np.take_along_axis(estimator.predict_proba(X), own[:, np.newaxis], axis=1)[:, 0]
    return np.asarray(-np.log(np.maximum(np.nan_to_num(of_own), _SMALLEST_PROBABILITY)))


def _hinge_loss(estimator: Any, X: Floats, own: NDArray[np.int64]) -> Floats:
    """Crammer and Singer's, as `blindfit.metrics` takes it."""
    decision = estimator.decision_function(X)
    if decision.ndim == 1:
        decision = np.stack([-decision, decision], axis=1) / 2
    index = own[:, np.newaxis]
    of_own = np.take_along_axis(decision, index, axis=1)[:, 0]
    np.put_along_axis(decision, index, -np.inf, axis=1)
    return np.asarray(np.maximum(0.0, 1.0 - (of_own - decision.max(axis=1))))


def _of_values(study: Study, estimator: Any, X: Floats, y: NDArray[Any]) -> dict[str, Floats]:
    bounds = study.schema_.target_range
    low, high = (0.0, 1.0) if bounds is None else (bounds.min, bounds.max)
    with np.errstate(over="ignore"):  # an error beyond all numbers is told as the largest
        squared_error = ((estimator.predict(X) - y) / (high - low)) ** 2
    target = (y - (low + high) / 2) / ((high - low) / 2)
    return {"squared_error": squared_error, "target": target, "target_squared": target**2}


__all__ = ["row_metrics"]
