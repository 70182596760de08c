"""The coordinator's step of a private training: heavy-ball descent on a noisy sum of gradients.

One round is one step (Polyak 1964, Some methods of speeding up the convergence of iteration
methods; with the proximal step of iPiano, Ochs, Chen, Brox and Pock 2014):

    next = prox(parameters - step · gradient + momentum · (parameters - previous))

where step is the study's ``learning_rate`` divided by the curvature that the loss has in public: so
one learning rate suits every study. What descent works with has its noise already: nothing here
costs privacy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import TrainingError
from blindfit.estimators import Parameters, flatten, initial_parameters, parameter_shapes
from blindfit.linear_loss import linear_loss
from blindfit.schema import CategoryFeature, Feature, feature_width
from blindfit.standard_units import to_model_units
from blindfit.study import Study
from server_app.penalty import penalty_of

Floats = NDArray[np.float64]

_ARRAYS = tuple(
    f"{kind}{suffix}"
    for suffix in ("", "_velocity", "_average")
    for kind in ("coefficients", "intercept")
)
_LARGEST = 1e9  # of a standardised parameter; participants refuse what is beyond all reason


@dataclass(frozen=True)
class Descent:
    """Where a private training is after ``step`` rounds, in standardised units.

    ``parameters`` is what the next round takes the gradient at, ``velocity`` its last change.
    ``average`` is the mean of the parameters over the last quarter of the study's rounds (before
    it, the parameters): the noise of single steps averages out (Polyak and Juditsky 1992,
    Acceleration of stochastic approximation by averaging). ``rows`` is the mean of the noisy row
    counts so far, which is less noisy than the last one.
    """

    parameters: Parameters
    velocity: Parameters
    average: Parameters
    step: int
    rows: float

    @classmethod
    def begin(cls, study: Study) -> Descent:
        """Before the first round: zeros."""
        zeros = initial_parameters(study)
        return cls(zeros, velocity=zeros, average=zeros, step=0, rows=0.0)

    def next(self, study: Study, estimator: Any, gradient: Parameters, rows: float) -> Descent:
        """The state after a round that gave the noisy sum ``gradient`` over ``rows`` rows.

        ``estimator`` is what `make_estimator` gives for ``study``. Raises `TrainingError` when the
        descent leaves all bounds: the learning rate is too large.
        """
        mean_rows = self.rows + (rows - self.rows) / (self.step + 1)
        parameters = self._moved(study, estimator, gradient, max(1.0, mean_rows))
        _require_bounded(parameters)
        averaged = max(0, self.step - _first_averaged(study.federation.rounds))
        pairs = zip(self.average, parameters, strict=True)
        return Descent(
            parameters,
            velocity=[new - old for new, old in zip(parameters, self.parameters, strict=True)],
            average=[old + (new - old) / (averaged + 1) for old, new in pairs],
            step=self.step + 1,
            rows=mean_rows,
        )

    def model(self, study: Study) -> Parameters:
        """The parameters of the scikit-learn estimator that this state stands for."""
        return to_model_units(study, self.average)

    def arrays(self) -> dict[str, Floats]:
        """The state as plain arrays, for ``numpy.savez``."""
        parts = self.parameters + self.velocity + self.average
        return dict(zip(_ARRAYS, parts, strict=True)) | {
            "progress": np.array([self.step, self.rows])
        }

    @classmethod
    def from_arrays(cls, study: Study, arrays: Mapping[str, NDArray[Any]]) -> Descent:
        """The state that `arrays` gave; raises `TrainingError` if it is not one of this study."""
        shapes = dict(zip(_ARRAYS, parameter_shapes(study) * 3, strict=True)) | {"progress": (2,)}
        for name, shape in shapes.items():
            array = arrays.get(name)
            if array is None or array.shape != shape or not np.isfinite(array).all():
                raise TrainingError(f"the checkpoint's {name} is not this study's")
        parts = [np.array(arrays[name], np.float64) for name in _ARRAYS]
        step, rows = arrays["progress"].tolist()
        return cls(parts[:2], parts[2:4], parts[4:], int(step), float(rows))

    def _moved(self, study: Study, estimator: Any, gradient: Parameters, rows: float) -> Parameters:
        guarantee = study.privacy.records
        if guarantee is None:
            raise TrainingError("this study has no [privacy.records]: it is not trained by descent")
        step = guarantee.learning_rate / _curvature(study, estimator)
        penalty = penalty_of(study, estimator, rows)
        # No mean of clipped gradients is longer than the clip; one that is has a noisy row count.
        scale = 1 / max(rows, float(np.linalg.norm(flatten(gradient))) / guarantee.clip)
        moved = [
            now - step * (total * scale + pull) + guarantee.momentum * last
            for now, last, total, pull in zip(
                self.parameters,
                self.velocity,
                gradient,
                penalty.gradient(self.parameters),
                strict=True,
            )
        ]
        if not estimator.fit_intercept:
            moved[1] = np.zeros_like(moved[1])  # its coordinates hold noise alone
        return penalty.proximal(moved, step)


def _curvature(study: Study, estimator: Any) -> float:
    """What a step is measured in: a regressor's grows with the length of its rows.

    A classifier's vanishes for rows that are told apart, and the clip holds back the others, so
    that its steps may be longer (measured: digits, breast cancer, MNIST).
    """
    curvature = linear_loss(study, estimator).curvature
    if study.schema_.is_classification:
        return curvature
    return curvature * (1.0 + sum(_square(feature) for _, feature in study.schema_.columns()))


def _square(feature: Feature) -> float:
    """The expected square of what a feature becomes: of a uniform number, 1/3; of a category, 1."""
    return 1.0 if isinstance(feature, CategoryFeature) else feature_width(feature) / 3


def _first_averaged(rounds: int) -> int:
    """The step with which the last quarter of the rounds begins, counted from 0."""
    return rounds - math.ceil(rounds / 4)


def _require_bounded(parameters: Parameters) -> None:
    if not all((np.abs(array) <= _LARGEST).all() for array in parameters):  # nor NaN
        raise TrainingError(
            "the descent left all bounds",
            hint="lower privacy.records.learning_rate in the study",
        )


__all__ = ["Descent"]
