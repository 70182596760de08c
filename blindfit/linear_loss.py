"""The loss of a row under each linear estimator, and its derivative by the row's scores.

A linear model's gradient is ``outer(derivative, [x, 1])``, so the derivative is all that is needed
of a loss. It is the estimator's own data term, as scikit-learn minimises it, in standardised units
(`blindfit.standard_units`); what regularises the parameters is not part of it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from blindfit.class_losses import MARGIN_LOSSES, TWO_CLASS_SOFTMAX, SoftmaxLoss
from blindfit.errors import StudyError
from blindfit.estimators import Parameters, class_labels
from blindfit.standard_units import StandardUnits, standard_units
from blindfit.study import Study
from blindfit.value_losses import (
    SQUARED_ERROR,
    DevianceLoss,
    epsilon_insensitive,
    huber,
    squared_epsilon_insensitive,
)

Floats = NDArray[np.float64]


class LinearLoss(Protocol):
    """A loss of scores (n, outputs) and standardised targets (n, outputs).

    ``curvature`` is the largest second derivative by one score, or stands for it: a descent whose
    steps are measured in its inverse suits every loss.
    """

    @property
    def curvature(self) -> float:
        """See above; above 0."""

    def value(self, scores: Floats, targets: Floats, /) -> Floats:
        """The loss (n,) of each row."""

    def slope(self, scores: Floats, targets: Floats, /) -> Floats:
        """Its derivative (n, outputs) by the scores."""


def score_gradients(
    study: Study, estimator: Any, parameters: Parameters, X: Floats, y: NDArray[Any]
) -> Floats:
    """The derivatives (n, outputs) of each row's loss by its scores.

    ``estimator`` is what `make_estimator` gives for ``study``; ``parameters`` are standardised;
    ``X`` (n, width) in [0, 1], ``y`` (n,) as the schema has it. Raises `StudyError` for a loss or a
    class weight that has no private form.
    """
    units, loss = standard_units(study, estimator), linear_loss(study, estimator)
    slopes = loss.slope(scores(parameters, X, units), units.targets(study, y))
    return slopes * row_weights(study, estimator, y)[:, np.newaxis]


def row_losses(
    study: Study, estimator: Any, parameters: Parameters, X: Floats, y: NDArray[Any]
) -> Floats:
    """The loss (n,) of each row, whose derivatives `score_gradients` gives."""
    units, loss = standard_units(study, estimator), linear_loss(study, estimator)
    values = loss.value(scores(parameters, X, units), units.targets(study, y))
    return values * row_weights(study, estimator, y)


def scores(parameters: Parameters, X: Floats, units: StandardUnits) -> Floats:
    """The scores (n, outputs) of ``X`` (n, width)."""
    coefficients, intercept = parameters
    linear = X @ np.atleast_2d(coefficients).T
    return linear + intercept if units.intercept else linear


def row_weights(study: Study, estimator: Any, y: NDArray[Any]) -> Floats:
    """The weight (n,) of each row: its class's, where the study weighs classes."""
    weights = getattr(estimator, "class_weight", None)
    if weights is None:
        return np.ones(len(y))
    if not isinstance(weights, dict):
        raise StudyError(
            f"model.params.class_weight: {weights!r} counts the classes of everybody's rows, and "
            "a private training does not tell these counts",
            hint="write a weight for each class",
        )
    by_class = np.array([weights.get(label, 1.0) for label in class_labels(study).tolist()])
    return by_class[np.searchsorted(class_labels(study), y)]


def linear_loss(study: Study, estimator: Any) -> LinearLoss:
    """The loss that ``estimator`` minimises; raises `StudyError` where there is no private form."""
    name = study.model.estimator
    if name == "LogisticRegression":
        return _logistic_loss(study, estimator)
    if name == "LinearSVC":
        if estimator.multi_class != "ovr":
            raise _unsupported("multi_class", estimator.multi_class, ["ovr"])
        return MARGIN_LOSSES[estimator.loss]
    if name == "SGDClassifier":
        if estimator.loss not in MARGIN_LOSSES:
            raise _unsupported("loss", estimator.loss, list(MARGIN_LOSSES))
        return MARGIN_LOSSES[estimator.loss]
    units = standard_units(study, estimator)
    if units.power is not None and units.log_link:
        return DevianceLoss(units.power, units.shift)
    return _value_loss(estimator, units)


def is_softmax(study: Study, estimator: Any) -> bool:
    """Whether a LogisticRegression fits its classes together, as scikit-learn decides it."""
    if estimator.multi_class in ("auto", "deprecated"):
        separate = estimator.solver in ("liblinear", "newton-cholesky")
        return len(class_labels(study)) > 2 and not separate
    return bool(estimator.multi_class == "multinomial")


def _logistic_loss(study: Study, estimator: Any) -> LinearLoss:
    if not is_softmax(study, estimator):
        return MARGIN_LOSSES["log_loss"]
    return TWO_CLASS_SOFTMAX if len(class_labels(study)) == 2 else SoftmaxLoss()


def _value_loss(estimator: Any, units: StandardUnits) -> LinearLoss:
    kind = getattr(estimator, "loss", "squared_error")
    if kind == "squared_error":
        return SQUARED_ERROR
    with_epsilon = {
        "huber": huber,
        "epsilon_insensitive": epsilon_insensitive,
        "squared_epsilon_insensitive": squared_epsilon_insensitive,
    }
    return with_epsilon[kind](estimator.epsilon / units.scale)


def _unsupported(key: str, value: Any, known: list[str]) -> StudyError:
    return StudyError(
        f"model.params.{key}: {value!r} has no private form",
        hint=f"with [privacy.records] it is one of: {', '.join(sorted(known))}",
    )


__all__ = [
    "LinearLoss",
    "is_softmax",
    "linear_loss",
    "row_losses",
    "row_weights",
    "score_gradients",
]
