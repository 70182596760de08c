"""Losses of a classifier's scores, and their derivatives by the score; all work on arrays.

A *margin* z is the score times the target's sign (+1 or -1). The losses of a margin are
scikit-learn's (user guide, "Stochastic Gradient Descent", section "Mathematical formulation"; for
the SVM Fan et al. 2008, LIBLINEAR, section 2).

``curvature`` is the largest second derivative by one score; 1 by convention for a loss with a kink.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Elementwise = Callable[[Floats], Floats]


@dataclass(frozen=True)
class MarginLoss:
    """A loss of one margin and its slope; each output is fitted against the rest."""

    value_of: Elementwise
    slope_of: Elementwise
    curvature: float = 1.0

    def value(self, scores: Floats, signs: Floats) -> Floats:
        """The loss (n,) of scores and signs (n, outputs)."""
        return np.asarray(self.value_of(scores * signs).sum(axis=1))

    def slope(self, scores: Floats, signs: Floats) -> Floats:
        """The derivative (n, outputs) by the scores."""
        return signs * self.slope_of(scores * signs)


class SoftmaxLoss:
    """The log loss of classes that are fitted together: one output for each."""

    curvature = 0.25  # p(1 - p)

    def value(self, scores: Floats, signs: Floats) -> Floats:
        """The loss (n,) of scores (n, k) and signs (n, k), of which one in a row is +1."""
        own = np.where(signs > 0, scores, 0.0).sum(axis=1)
        return np.asarray(np.logaddexp.reduce(scores, axis=1) - own)

    def slope(self, scores: Floats, signs: Floats) -> Floats:
        """The derivative (n, k): each class's probability, minus 1 for the row's own."""
        probabilities = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
        return np.asarray(probabilities - (signs > 0))


def _below(z: Floats, threshold: float) -> Floats:
    return (z <= threshold).astype(np.float64)


def _logistic(steepness: float) -> MarginLoss:
    return MarginLoss(
        lambda z: np.logaddexp(0.0, -steepness * z),
        lambda z: -steepness * np.exp(-np.logaddexp(0.0, steepness * z)),
        curvature=steepness**2 / 4,
    )


MARGIN_LOSSES: dict[str, MarginLoss] = {
    "hinge": MarginLoss(lambda z: np.maximum(0.0, 1.0 - z), lambda z: -_below(z, 1.0)),
    "squared_hinge": MarginLoss(
        lambda z: np.square(np.maximum(0.0, 1.0 - z)),
        lambda z: -2.0 * np.maximum(0.0, 1.0 - z),
        2.0,
    ),
    "perceptron": MarginLoss(lambda z: np.maximum(0.0, -z), lambda z: -_below(z, 0.0)),
    "log_loss": _logistic(1.0),
    "modified_huber": MarginLoss(
        lambda z: np.where(z >= -1.0, np.maximum(0.0, 1.0 - z) ** 2, -4.0 * z),
        lambda z: np.where(z >= -1.0, -2.0 * np.maximum(0.0, 1.0 - z), -4.0),
        2.0,
    ),
}
# A softmax over the scores -s and s, which is what scikit-learn fits for two classes when
# multi_class = "multinomial" is asked for.
TWO_CLASS_SOFTMAX = _logistic(2.0)


__all__ = ["MARGIN_LOSSES", "TWO_CLASS_SOFTMAX", "MarginLoss", "SoftmaxLoss"]
