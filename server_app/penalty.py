"""What an estimator adds to its loss for the size of its parameters; it does not touch data.

With F the mean loss of n rows in standardised units (`blindfit.standard_units`: everything is
divided by scale**degree), scikit-learn minimises F + penalty, where the penalty is

| estimator                   | L2, times half the sum of w² | L1, times the sum of absolute w |
|-----------------------------|------------------------------|---------------------------------|
| LogisticRegression          | (1 - l1_ratio) / (C n)       | l1_ratio / (C n)                |
| LinearSVC, LinearSVR        | 1 / (C n)                    | 1 / (C n), if penalty = "l1"    |
| SGDClassifier, SGDRegressor | alpha (1 - l1_ratio)         | alpha l1_ratio                  |
| Ridge                       | alpha / n                    |                                 |
| Lasso, ElasticNet           | alpha (1 - l1_ratio)         | alpha l1_ratio                  |
| Poisson, gamma, Tweedie     | alpha                        |                                 |

in the model's units, with l1_ratio 0 for penalty = "l2" and 1 for "l1" and Lasso. liblinear
(LinearSVC, LinearSVR and the solver of that name) also penalises the intercept, divided by
``intercept_scaling``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.estimators import Parameters
from blindfit.linear_loss import is_softmax
from blindfit.standard_units import standard_units
from blindfit.study import Study

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """How strongly one array is pulled: ``l2``/2·|w - centre|² + ``l1``·|w|₁."""

    l2: float = 0.0
    l1: float = 0.0
    centre: float = 0.0

    def scaled(self, l2: float, l1: float) -> Weights:
        """The weights times these factors."""
        return Weights(self.l2 * l2, self.l1 * l1, self.centre)

    def gradient(self, array: Floats) -> Floats:
        """The derivative of the smooth part."""
        return self.l2 * (array - self.centre)

    def shrink(self, array: Floats, step: float) -> Floats:
        """The proximal step of the other part: nearer to 0 by ``step`` * l1, and not past it."""
        return np.asarray(np.sign(array) * np.maximum(0.0, np.abs(array) - step * self.l1))


@dataclass(frozen=True)
class Penalty:
    """What pulls coefficients and intercept; ``positive`` keeps coefficients from going below 0."""

    coefficients: Weights
    intercept: Weights
    positive: bool

    def gradient(self, parameters: Parameters) -> Parameters:
        """The derivative of the smooth part by coefficients and intercept."""
        coefficients, intercept = parameters
        return [self.coefficients.gradient(coefficients), self.intercept.gradient(intercept)]

    def proximal(self, parameters: Parameters, step: float) -> Parameters:
        """The proximal step of what is not smooth (Parikh and Boyd 2014, section 6.5)."""
        coefficients, intercept = parameters
        coefficients = self.coefficients.shrink(coefficients, step)
        if self.positive:
            coefficients = np.maximum(0.0, coefficients)
        return [coefficients, self.intercept.shrink(intercept, step)]


def penalty_of(study: Study, estimator: Any, rows: float) -> Penalty:
    """The penalty beside the mean loss of ``rows`` rows, in standardised units.

    ``estimator`` is what `make_estimator` gives for ``study``.
    """
    units = standard_units(study, estimator)
    unit = units.scale**units.degree
    l2, l1 = units.factor**2 / unit, units.factor / unit
    model = _weights(study, estimator, rows)
    coefficients = model.scaled(l2, l1)
    intercept = Weights()
    if _penalises_intercept(study, estimator):
        scaling = estimator.intercept_scaling
        # The model's intercept is 0 where the standardised one is -middle / scale.
        centred = Weights(model.l2, model.l1, -units.middle / units.scale)
        intercept = centred.scaled(l2 / scaling**2, l1 / scaling)
    return Penalty(coefficients, intercept, bool(getattr(estimator, "positive", False)))


def _weights(study: Study, estimator: Any, rows: float) -> Weights:
    name = study.model.estimator
    if name in ("LogisticRegression", "LinearSVC", "LinearSVR"):
        # A softmax of two classes has a second output, the first one's negative.
        both = 2.0 if name == "LogisticRegression" and _is_doubled(study, estimator) else 1.0
        return _mixed(both / (estimator.C * rows), _l1_part(estimator))
    if name == "LinearRegression":
        return Weights()
    alpha = float(np.ravel(estimator.alpha)[0])
    if name == "Ridge":
        return Weights(l2=alpha / rows)
    if name in ("Lasso", "ElasticNet"):
        return _mixed(alpha, 1.0 if name == "Lasso" else estimator.l1_ratio)
    if name.startswith("SGD"):
        return _mixed(alpha, _l1_part(estimator))
    return Weights(l2=alpha)


def _mixed(strength: float, l1_part: float | None) -> Weights:
    return Weights() if l1_part is None else Weights(strength * (1 - l1_part), strength * l1_part)


def _l1_part(estimator: Any) -> float | None:
    """How much of the penalty is L1; None for no penalty."""
    kind = getattr(estimator, "penalty", "l2")
    return {"l2": 0.0, "l1": 1.0, None: None}.get(kind, getattr(estimator, "l1_ratio", None))


def _is_doubled(study: Study, estimator: Any) -> bool:
    return len(study.schema_.classes or ()) == 2 and is_softmax(study, estimator)


def _penalises_intercept(study: Study, estimator: Any) -> bool:
    name = study.model.estimator
    liblinear = name.startswith("LinearSV") or getattr(estimator, "solver", "") == "liblinear"
    return bool(estimator.fit_intercept) and liblinear


__all__ = ["Penalty", "Weights", "penalty_of"]
