"""Losses of a regressor's scores, and their derivatives by the score; all work on arrays.

``curvature`` is the largest second derivative by the score; 1 by convention for a loss with a kink.
That of a deviance is the one at the middle of the range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Elementwise = Callable[[Floats], Floats]

# exp(30) = 1e13 times the middle of a range is no prediction that anybody wants. Beyond it only
# the direction of the derivative counts, because it is clipped.
_LARGEST_LOG = 30.0


@dataclass(frozen=True)
class ResidualLoss:
    """A loss of the residual r = score - target and its slope."""

    value_of: Elementwise
    slope_of: Elementwise
    curvature: float = 1.0

    def value(self, scores: Floats, targets: Floats) -> Floats:
        """The loss (n,) of scores and targets (n, 1)."""
        return self.value_of(scores - targets)[:, 0]

    def slope(self, scores: Floats, targets: Floats) -> Floats:
        """The derivative (n, 1) by the score."""
        return self.slope_of(scores - targets)


@dataclass(frozen=True)
class DevianceLoss:
    """Half the unit Tweedie deviance with a log link: the mean is exp(score - shift).

    Half of scikit-learn's unit deviance (user guide, "Generalized Linear Models"; Jørgensen 1987,
    Exponential Dispersion Models): 0 where the mean is the target. ``power`` 1 is
    Poisson's and needs targets >= 0, 2 is the gamma distribution's and needs targets > 0.
    """

    power: float
    shift: float
    curvature: float = 1.0

    def value(self, scores: Floats, targets: Floats) -> Floats:
        """The loss (n,) of scores and targets (n, 1)."""
        return self._of_mean(targets[:, 0], self._mean(scores[:, 0]))

    def slope(self, scores: Floats, targets: Floats) -> Floats:
        """The derivative (n, 1) by the score: mean^(1 - power) · (mean - target)."""
        mean = self._mean(scores)
        return np.asarray(mean ** (1.0 - self.power) * (mean - targets))

    def _mean(self, scores: Floats) -> Floats:
        return np.asarray(np.exp(np.clip(scores, -_LARGEST_LOG, _LARGEST_LOG) - self.shift))

    def _of_mean(self, t: Floats, mean: Floats) -> Floats:
        p = self.power
        if p == 1:
            positive = np.where(t > 0, t, 1.0)  # t·log(t) is 0 at 0
            return np.asarray(t * (np.log(positive) - np.log(mean)) - t + mean)
        if p == 2:
            return np.asarray(np.log(mean) - np.log(t) + t / mean - 1.0)
        full = np.maximum(t, 0.0) ** (2 - p) / ((1 - p) * (2 - p))
        return np.asarray(full - t * mean ** (1 - p) / (1 - p) + mean ** (2 - p) / (2 - p))


SQUARED_ERROR = ResidualLoss(lambda r: r**2 / 2, lambda r: r)


def huber(epsilon: float) -> ResidualLoss:
    """Quadratic up to ``epsilon``, then linear."""
    return ResidualLoss(
        lambda r: np.where(np.abs(r) <= epsilon, r**2 / 2, epsilon * (np.abs(r) - epsilon / 2)),
        lambda r: np.clip(r, -epsilon, epsilon),
    )


def epsilon_insensitive(epsilon: float) -> ResidualLoss:
    """What of the error exceeds ``epsilon``."""
    return ResidualLoss(
        lambda r: np.maximum(0.0, np.abs(r) - epsilon),
        lambda r: np.where(np.abs(r) > epsilon, np.sign(r), 0.0),
    )


def squared_epsilon_insensitive(epsilon: float) -> ResidualLoss:
    """The square of what of the error exceeds ``epsilon``."""
    return ResidualLoss(
        lambda r: np.square(np.maximum(0.0, np.abs(r) - epsilon)),
        lambda r: 2.0 * np.sign(r) * np.maximum(0.0, np.abs(r) - epsilon),
        2.0,
    )


__all__ = [
    "SQUARED_ERROR",
    "DevianceLoss",
    "ResidualLoss",
    "epsilon_insensitive",
    "huber",
    "squared_epsilon_insensitive",
]
