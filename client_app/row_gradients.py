"""A participant's part of a private round: the sum of its rows' clipped gradients.

The privacy of a sum rests on how far one row can move it. With ordinary floating point that is more
than the row's own norm: each further row changes how all partial sums are rounded (Casacuberta,
Shoemate, Vadhan and Wagaman 2022, Widespread Underestimation of Sensitivity in Differentially
Private Libraries and How to Fix It). So every row is first rounded by itself to whole numbers of a
public quantum, such that all sums of them are exact, in whatever order they are taken:

    quantum = 2^e / 2^bits,  2^e >= clip,  bits <= 62 - log2(max_rows)   (a sum fits into an int64)
    rows of one matrix product <= 2^(53 - bits)                          (and its parts a float64)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import TrainingError
from blindfit.estimators import Parameters, make_estimator, parameter_shapes
from blindfit.linear_loss import score_gradients
from blindfit.study import Study
from blindfit.sum_layout import EXTRA_WEIGHT, dimension
from client_app.row_metrics import row_metrics

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FEATURE_BITS = 14  # a feature becomes a multiple of 2^-14; a circuit has at most 12 bits
_MOST_BITS = 40  # 8192 rows at a time; finer quanta would not change any digit that noise leaves
_LARGEST_PARAMETER = 1e100  # the scores of such parameters are finite,
_LARGEST_SLOPE = 1e140  # and so are the squares of such derivatives; all are clipped anyway
# More than what rounding can do to a norm and its reciprocal, and less than anybody's noise.
_MARGIN = 1.0 - 2.0**-40


@dataclass(frozen=True)
class Quantum:
    """The grid of a row's vector: coordinates are ``unit`` times whole numbers up to 2^``bits``."""

    unit: float
    bits: int

    @classmethod
    def of(cls, study: Study, clip: float) -> Quantum:
        """Follows from public numbers alone: a grid that depended on rows would tell of them."""
        bits = min(_MOST_BITS, 62 - math.ceil(math.log2(study.privacy.max_rows)))
        return cls(2.0 ** (math.ceil(math.log2(clip)) - bits), bits)

    @property
    def batch(self) -> int:
        """How many rows a matrix product may add up exactly."""
        return 1 << (53 - self.bits)


def clipped_sum(
    study: Study, parameters: Parameters, X: Floats, y: NDArray[Any], clip: float
) -> Floats:
    """The sum (`blindfit.sum_layout.dimension`,) over the rows: a secret until it has its noise.

    A row contributes its loss's gradient by coefficients and intercept, scaled to an L2 norm of at
    most ``clip``, and the extras. ``parameters`` are standardised (`blindfit.standard_units`);
    ``X`` (n, width) in [0, 1]; ``y`` (n,) inside the schema. One row more or less moves the sum by
    at most `blindfit.sum_layout.sensitivity`, and by half a unit in the last place where a float64
    cannot hold it.

    Raises `TrainingError` for parameters that are not the study's, not finite or beyond all reason,
    and for more rows than the study's ``max_rows``; `StudyError` for a loss without private form.
    """
    _require_sane(study, parameters)
    if len(X) > study.privacy.max_rows:
        raise TrainingError(
            f"{len(X)} rows; the study allows {study.privacy.max_rows} (privacy.max_rows)"
        )
    estimator, quantum = make_estimator(study), Quantum.of(study, clip)
    total = np.zeros(dimension(study), np.int64)
    for rows in _batches(len(X), quantum.batch):
        total += _batch_sum(study, estimator, parameters, X[rows], y[rows], clip, quantum)
    return total * quantum.unit


def _require_sane(study: Study, parameters: Parameters) -> None:
    if [np.shape(array) for array in parameters] != parameter_shapes(study):
        raise TrainingError("the coordinator's parameters do not have the study's shapes")
    if not all((np.abs(array) <= _LARGEST_PARAMETER).all() for array in parameters):  # nor NaN
        raise TrainingError("the coordinator's parameters are not finite, or beyond all reason")


def _batches(rows: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, rows, size))


def _batch_sum(
    study: Study,
    estimator: Any,
    parameters: Parameters,
    X: Floats,
    y: NDArray[Any],
    clip: float,
    quantum: Quantum,
) -> Integers:
    features = np.rint(np.clip(np.nan_to_num(X), 0.0, 1.0) * 2.0**_FEATURE_BITS)
    if estimator.fit_intercept:
        features = np.column_stack([features, np.full(len(X), 2.0**_FEATURE_BITS)])
    slopes = score_gradients(study, estimator, parameters, X, y) / quantum.unit / 2.0**_FEATURE_BITS
    whole = _clipped_slopes(slopes, features, clip / quantum.unit)
    gradient = (whole.T @ features).astype(np.int64)  # exact: see the module's first lines
    if not estimator.fit_intercept:
        gradient = np.column_stack([gradient, np.zeros(len(gradient), np.int64)])
    told = row_metrics(study, estimator, parameters, X, y) * (EXTRA_WEIGHT * clip / quantum.unit)
    metrics = np.trunc(told * _MARGIN).astype(np.int64).sum(axis=0)
    return np.concatenate([gradient[:, :-1].ravel(), gradient[:, -1], metrics])


def _clipped_slopes(slopes: Floats, features: Floats, limit: float) -> Floats:
    """Whole numbers (n, outputs) whose outer product with ``features`` (n, m) has a norm <= limit.

    The norm of an outer product is the product of the norms, so it need not be formed (Goodfellow
    2015, Efficient Per-Example Gradient Computations). What follows the scaling is rounding towards
    zero, which makes no norm larger.
    """
    slopes = np.clip(np.nan_to_num(slopes), -_LARGEST_SLOPE, _LARGEST_SLOPE)
    norms = np.linalg.norm(slopes, axis=1) * np.linalg.norm(features, axis=1)
    scales = np.minimum(1.0, limit * _MARGIN / np.maximum(norms, limit * _MARGIN))
    return np.asarray(np.trunc(slopes * scales[:, np.newaxis]))


__all__ = ["Quantum", "clipped_sum"]
