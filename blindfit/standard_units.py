"""Units in which one learning rate and one clip suit every study, whatever its target measures.

Descent with clipped gradients works on *standardised* targets t and scores s = x·w + b:

| target            | t                        | model's coefficients | model's intercept      |
|-------------------|--------------------------|----------------------|------------------------|
| a class           | +1 or -1 for each output | w                    | b                      |
| a value           | (y - middle) / half span | half span · w        | half span · b + middle |
| a value, log link | y / (largest / 2)        | w                    | b + log(largest / 2)   |

The middle, the span and the largest absolute value are those of ``schema.target_range``, which is
public. Without an intercept nothing can be shifted: a value is then divided by the largest, and the
mean under a log link is exp(s) / scale in place of exp(s).

The losses are homogeneous: loss(c·y, c·prediction) = c**degree · loss(y, prediction). So a sum of
standardised losses is the model's sum divided by scale**degree, and `server_app.penalty` divides
what scikit-learn adds for regularisation by the same number: the optimum stays where it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import StudyError
from blindfit.estimators import Parameters, class_labels, make_estimator, tweedie_power
from blindfit.study import Study

Floats = NDArray[np.float64]

_ABSOLUTE = frozenset({"epsilon_insensitive"})  # as large as the error; other losses as its square


@dataclass(frozen=True)
class StandardUnits:
    """How a study's target and parameters become standardised ones.

    ``power`` is that of a Tweedie deviance, None for other losses; ``log_link`` and ``intercept``
    say what kind of model it is.
    """

    middle: float
    scale: float
    degree: float
    power: float | None
    log_link: bool
    intercept: bool

    @property
    def factor(self) -> float:
        """The model's coefficients are this times the standardised ones."""
        return 1.0 if self.log_link else self.scale

    @property
    def added(self) -> float:
        """What the model's intercept has more, where it has one."""
        return math.log(self.scale) if self.log_link else self.middle

    @property
    def shift(self) -> float:
        """What a log link subtracts from a score whose model has no intercept to do so."""
        return math.log(self.scale) if self.log_link and not self.intercept else 0.0

    def targets(self, study: Study, y: NDArray[Any]) -> Floats:
        """``y`` (n,) as standardised targets (n, outputs)."""
        if not study.schema_.is_classification:
            return ((np.asarray(y, np.float64) - self.middle) / self.scale)[:, np.newaxis]
        labels = class_labels(study)
        own = y[:, np.newaxis] == (labels[1:] if len(labels) == 2 else labels)
        return np.where(own, 1.0, -1.0)

    def to_model(self, parameters: Parameters) -> Parameters:
        """Standardised parameters as those of the scikit-learn estimator."""
        coefficients, intercept = parameters
        # Without an intercept its coordinates hold nothing but noise.
        moved = intercept * self.factor + self.added if self.intercept else 0.0 * intercept
        return [coefficients * self.factor, moved]

    def to_standard(self, parameters: Parameters) -> Parameters:
        """The reverse of `to_model`."""
        coefficients, intercept = parameters
        moved = (intercept - self.added) / self.factor if self.intercept else 0.0 * intercept
        return [coefficients / self.factor, moved]


def standard_units(study: Study, estimator: Any) -> StandardUnits:
    """The units of ``study``; ``estimator`` is what `make_estimator` gives for it.

    Raises `StudyError` for a Tweedie deviance with an identity link, whose means have to be
    positive: noise does not keep them so.
    """
    power = tweedie_power(estimator)
    log_link = power is not None and _has_log_link(estimator, power)
    intercept = bool(estimator.fit_intercept)
    bounds = study.schema_.target_range
    if bounds is None:
        return StandardUnits(0.0, 1.0, 0.0, None, False, intercept)
    largest = max(abs(bounds.min), abs(bounds.max))
    if power is None:
        degree = 1.0 if getattr(estimator, "loss", "") in _ABSOLUTE else 2.0
    else:
        degree = 2.0 - power
    if log_link:
        return StandardUnits(0.0, largest / 2, degree, power, True, intercept)
    if not intercept:
        return StandardUnits(0.0, largest, degree, power, False, False)
    middle, half_span = (bounds.min + bounds.max) / 2, (bounds.max - bounds.min) / 2
    return StandardUnits(middle, half_span, degree, power, False, True)


def to_model_units(study: Study, parameters: Parameters) -> Parameters:
    """Standardised parameters as those of the study's scikit-learn estimator."""
    return standard_units(study, make_estimator(study)).to_model(parameters)


def to_standard_units(study: Study, parameters: Parameters) -> Parameters:
    """The reverse of `to_model_units`."""
    return standard_units(study, make_estimator(study)).to_standard(parameters)


def _has_log_link(estimator: Any, power: float) -> bool:
    link = getattr(estimator, "link", "log")  # Poisson and gamma regression have no other
    if link == "log" or (link == "auto" and power > 0):
        return True
    if power == 0:
        return False
    raise StudyError(
        f"model.params.link: an identity link with power = {power:g} needs positive means, "
        "which noise does not keep",
        hint='set link = "log", or leave out [privacy.records]',
    )


__all__ = ["StandardUnits", "standard_units", "to_model_units", "to_standard_units"]
