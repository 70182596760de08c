"""The vector that participants add up in a private round: what each coordinate means.

| coordinates                | ``[privacy.records]``           | ``[privacy.participants]``        |
|----------------------------|---------------------------------|-----------------------------------|
| outputs · width            | gradient by the coefficients    | change of the coefficients        |
| outputs                    | gradient by the intercept       | change of the intercept           |
| one for each of `extras`   | metrics of the incoming model   | score of the incoming model       |

The first two together have at most the L2 norm ``clip`` for one neighbour (a row, or a
participant). Each extra is at most 1 in absolute value and travels multiplied by
``EXTRA_WEIGHT * clip``: so the metrics come under the same noise as the gradient, and a neighbour
moves the whole vector by no more than `sensitivity`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import UpdateError
from blindfit.estimators import (
    GENERALIZED,
    Parameters,
    class_labels,
    make_estimator,
    parameter_shapes,
    unflatten,
)
from blindfit.metrics import Metrics
from blindfit.standard_units import standard_units
from blindfit.study import Study

Floats = NDArray[np.float64]

# Three extras of this weight make the noise 6% larger, five 10%.
EXTRA_WEIGHT = 0.2
# A loss is told up to a public ceiling. Log loss and hinge loss of a useless model are log(classes)
# and 1; its half deviance, standardised, is about 1 too.
_CEILING = 4.0


@dataclass(frozen=True)
class NoisySum:
    """What a round of ``[privacy.records]`` told: the gradient's sum, and metrics, all noisy.

    ``rows`` is the count as it came, for averaging; it may be below 0. ``metrics`` are sums over
    at least one row, forced into their possible ranges.
    """

    gradient: Parameters
    rows: float
    metrics: Metrics


def extras(study: Study) -> tuple[str, ...]:
    """The names of the extra coordinates, which are those of `Metrics` or ``score``."""
    if study.privacy.participants is not None:
        return ("score",)
    if study.schema_.is_classification:
        return ("rows", "loss", "correct")
    values = ("rows", "squared_error", "target", "target_squared")
    # The loss of the other regressors is the squared error.
    return (*values, "loss") if study.model.estimator in GENERALIZED else values


def dimension(study: Study) -> int:
    """How many coordinates the vector has."""
    return sum(math.prod(shape) for shape in parameter_shapes(study)) + len(extras(study))


def sensitivity(study: Study, clip: float) -> float:
    """The most, in L2 norm, by which one neighbour moves the vector: added or removed, not both.

    ``clip`` bounds the first coordinates and ``EXTRA_WEIGHT * clip`` each extra.
    """
    exact = clip * math.sqrt(1.0 + len(extras(study)) * EXTRA_WEIGHT**2)
    return math.nextafter(exact, math.inf)  # the formula's own rounding


def loss_ceiling(study: Study) -> float:
    """The largest loss of a row that is told; a larger one is told as this.

    In the units of `Metrics` for classes, a standardised half deviance for values.
    """
    return max(_CEILING, 2.0 * math.log(max(2, len(class_labels(study)))))


def split(study: Study, vector: Floats) -> tuple[Parameters, Floats]:
    """A vector as coefficients, intercept and the extras; raises `UpdateError` for another size."""
    if vector.shape != (dimension(study),):
        raise UpdateError(f"a sum of shape {vector.shape}; the study's has ({dimension(study)},)")
    extra = len(extras(study))
    return unflatten(study, vector[:-extra].copy()), vector[-extra:].copy()


def read_noisy_sum(study: Study, vector: Floats, clip: float) -> NoisySum:
    """What the noisy sum ``vector`` of a round of ``[privacy.records]`` says.

    Raises `UpdateError` for a vector of another size.
    """
    gradient, told = split(study, vector)
    ratios = dict(zip(extras(study), (told / (EXTRA_WEIGHT * clip)).tolist(), strict=True))
    rows = ratios.pop("rows")
    at_least_one = max(1.0, rows)
    means = {name: min(1.0, max(-1.0, value / at_least_one)) for name, value in ratios.items()}
    return NoisySum(gradient, rows, _metrics(study, round(at_least_one), means))


def read_noisy_updates(
    study: Study, vector: Floats, clip: float, participants: int
) -> tuple[Parameters, float]:
    """The mean change of the parameters, and the mean score in [0, 1], of ``participants`` > 0.

    ``vector`` is the noisy sum of a round of ``[privacy.participants]``. Raises `UpdateError` for a
    vector of another size.
    """
    change, told = split(study, vector)
    score = float(told[0]) / (EXTRA_WEIGHT * clip * participants)
    return [array / participants for array in change], min(1.0, max(0.0, score))


def _metrics(study: Study, rows: int, means: dict[str, float]) -> Metrics:
    positive = {name: max(0.0, mean) for name, mean in means.items()}
    bounds = study.schema_.target_range
    if bounds is None:
        loss = positive["loss"] * loss_ceiling(study)
        return Metrics(rows, loss * rows, correct=round(positive["correct"] * rows))
    span, half = bounds.max - bounds.min, (bounds.max - bounds.min) / 2
    squared_error = positive["squared_error"] * span**2
    loss = positive["loss"] * _deviance_ceiling(study) if "loss" in means else squared_error
    # No mean square is below the square of the mean.
    target_squared = max(positive["target_squared"], means["target"] ** 2)
    return Metrics(
        rows,
        loss * rows,
        squared_error=squared_error * rows,
        target=means["target"] * half * rows,
        target_squared=target_squared * half**2 * rows,
    )


def _deviance_ceiling(study: Study) -> float:
    """The largest unit deviance that is told, in the model's units."""
    units = standard_units(study, make_estimator(study))
    return 2 * loss_ceiling(study) * float(units.scale**units.degree)


__all__ = [
    "EXTRA_WEIGHT",
    "NoisySum",
    "dimension",
    "extras",
    "loss_ceiling",
    "read_noisy_sum",
    "read_noisy_updates",
    "sensitivity",
    "split",
]
