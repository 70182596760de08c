"""What the coordinator does with updates: pure functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import TrainingError, UpdateError
from blindfit.estimators import Parameters
from blindfit.metrics import Metrics

MAX_ROWS = 1_000_000_000  # of one participant; more is a mistake or an attempt to outweigh others
# Far beyond any fit; sums and squares of such numbers stay finite.
MAX_PARAMETER = 1e100
MAX_METRIC = 1e300
_NAMES = ("coefficients", "intercept")


@dataclass(frozen=True)
class Update:
    """What one participant sent in a round: its fit, and the incoming model's metrics there."""

    parameters: Parameters
    metrics: Metrics


def check_update(
    parameters: Sequence[NDArray[np.generic]],
    metrics: Metrics,
    shapes: Sequence[tuple[int, ...]],
) -> Update:
    """The update, if it has the study's ``shapes``, float64, sane numbers and sane counts.

    Raises `UpdateError` that says what is wrong with it.
    """
    check_metrics(metrics)
    if len(parameters) != len(shapes):
        raise UpdateError(f"{len(parameters)} arrays; the study has {len(shapes)}")
    checked = [
        _checked(name, array, shape)
        for name, array, shape in zip(_NAMES, parameters, shapes, strict=True)
    ]
    return Update(checked, metrics)


def check_metrics(metrics: Metrics) -> Metrics:
    """``metrics`` if their counts are possible and their sums finite; raises `UpdateError`."""
    rows, correct = metrics.rows, metrics.correct
    if type(rows) is not int or not 1 <= rows <= MAX_ROWS:
        raise UpdateError(f"{rows!s:.30} rows; a whole number from 1 to {MAX_ROWS} is needed")
    if type(correct) is not int or not 0 <= correct <= rows:
        raise UpdateError(f"{correct!s:.30} right classes of {rows} rows")
    for name, value in metrics.as_dict().items():
        if not math.isfinite(value) or abs(value) > MAX_METRIC:
            raise UpdateError(f"the metric {name} is {value!s:.30}, which nothing can be added to")
    return metrics


def _checked(name: str, array: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.float64]:
    # Without this check numpy would broadcast (1, 4) into (3, 4) and average the wrong thing.
    if array.shape != shape or array.dtype != np.float64:
        raise UpdateError(f"{name}: {array.dtype} {array.shape}; the study has float64 {shape}")
    if not np.isfinite(array).all():
        raise UpdateError(f"{name}: not all numbers are finite")
    if (np.abs(array) > MAX_PARAMETER).any():
        raise UpdateError(f"{name}: a number is beyond {MAX_PARAMETER:g}")
    return array.astype(np.float64)


def average(updates: Sequence[Update]) -> Parameters:
    """The mean of the updates, weighted by rows (McMahan et al. 2017, Federated Averaging).

    Raises `TrainingError` when there is none, or when the mean is not finite.
    """
    if not updates:
        raise TrainingError("there is no update to average")
    rows = np.array([update.metrics.rows for update in updates], np.float64)
    weights = rows / rows.sum()  # before they multiply anything: a sum over rows may overflow
    columns = zip(*(update.parameters for update in updates), strict=True)
    means = [np.average(np.stack(arrays), axis=0, weights=weights) for arrays in columns]
    if not all(np.isfinite(mean).all() for mean in means):
        raise TrainingError("the average of the updates is not finite; the last model is kept")
    return means


def total(metrics: Sequence[Metrics]) -> Metrics:
    """The metrics over all participants' rows."""
    return sum(metrics, start=Metrics(0, 0.0))
