"""What a participant adds to a round of federated averaging, as words that can be summed.

Everything that leaves a participant goes into one vector: its rows times each parameter, the sums
of its metrics, and its row count (McMahan et al. 2017: the mean is weighted by rows). Only the sum
over the participants is ever decoded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import TrainingError
from blindfit.estimators import (
    Parameters,
    flatten,
    make_estimator,
    parameter_shapes,
    tweedie_power,
    unflatten,
)
from blindfit.fixed_point import FixedPoint
from blindfit.metrics import Metrics
from blindfit.study import Study

Words = NDArray[np.uint64]
# In units of the target's span, for features in [0, 1]: a fit beyond it has not converged.
MAX_PARAMETER = float(1 << 20)
# Without secure aggregation no list of participants is agreed on, and so many may take part.
READABLE_ADDENDS = 1024


@dataclass(frozen=True)
class Averaging:
    """The encoding for one study with ``participants`` known participants."""

    study: Study
    participants: int

    @cached_property
    def codec(self) -> FixedPoint:
        """The fixed-point numbers; raises `StudyError` if sums could overflow."""
        return FixedPoint.for_sums(self.participants, self.study.privacy.max_rows * MAX_PARAMETER)

    def error(self, rows: int) -> float:
        """How far a parameter may be from the mean over ``rows`` rows in all, by the encoding."""
        # One more step of float64 for the division and the unit.
        return self._unit * (self.codec.error / rows + MAX_PARAMETER * 2.0**-50)

    @property
    def length(self) -> int:
        """How many words an update has."""
        return self.metrics_length + sum(math.prod(shape) for shape in self._shapes)

    @property
    def metrics_length(self) -> int:
        """How many words an evaluation has."""
        return len(fields(Metrics))

    def encode(self, metrics: Metrics, parameters: Parameters | None = None) -> Words:
        """Words of an evaluation, or of an update with its evaluation.

        Raises `TrainingError` for rows or parameters that a sum has no room for.
        """
        rows = metrics.rows
        if rows > self.study.privacy.max_rows:
            raise TrainingError(
                f"{rows} rows; the study has room for {self.study.privacy.max_rows}",
                hint="ask the coordinator to raise privacy.max_rows",
            )
        means = [value / rows for value in self._scaled(metrics)[1:]]
        # A metric that is off the scale only makes the round's loss look as bad as it can be.
        values = [
            1.0,
            *np.clip(np.nan_to_num(means, nan=MAX_PARAMETER), -MAX_PARAMETER, MAX_PARAMETER),
        ]
        if parameters is not None:
            flat = flatten(parameters) / self._unit
            if not (np.abs(flat) <= MAX_PARAMETER).all():
                raise TrainingError(
                    f"the local fit has parameters beyond {MAX_PARAMETER * self._unit:g}",
                    hint="regularise the study's estimator more",
                )
            values.extend(flat)
        return self.codec.encode(rows * np.array(values, np.float64))

    def decode(self, total: Words) -> tuple[Metrics, Parameters | None]:
        """The metrics over all participants, and the mean of their parameters.

        Raises `TrainingError` for a sum that honest participants cannot have.
        """
        values = self.codec.decode(total)
        rows = values[0]
        if not 1 <= rows <= self.participants * self.study.privacy.max_rows or rows % 1:
            raise TrainingError(
                f"the participants' rows add up to {rows:g}: somebody sent something else than rows"
            )
        metrics = self._metrics(values[: self.metrics_length])
        if len(values) == self.metrics_length:
            return metrics, None
        return metrics, unflatten(self.study, values[self.metrics_length :] / rows * self._unit)

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return parameter_shapes(self.study)

    @cached_property
    def _unit(self) -> float:
        """What parameters are measured in: they grow with the target."""
        bounds = self.study.schema_.target_range
        return 1.0 if bounds is None else max(bounds.max - bounds.min, abs(bounds.max))

    @cached_property
    def _metric_units(self) -> list[float]:
        unit = self._unit
        power = tweedie_power(make_estimator(self.study)) or 0.0
        units = {
            "loss": unit ** (2 - power),
            "squared_error": unit**2,
            "target": unit,
            "target_squared": unit**2,
        }
        return [units.get(field.name, 1.0) for field in fields(Metrics)]

    def _scaled(self, metrics: Metrics) -> list[float]:
        values = metrics.as_dict().values()
        return [value / unit for value, unit in zip(values, self._metric_units, strict=True)]

    def _metrics(self, values: NDArray[np.float64]) -> Metrics:
        rows, *sums = (values * np.array(self._metric_units)).tolist()
        names = [field.name for field in fields(Metrics)][1:]
        named = dict(zip(names, sums, strict=True)) | {
            "correct": round(sums[names.index("correct")])
        }
        return Metrics(round(rows), **named)


__all__ = ["MAX_PARAMETER", "READABLE_ADDENDS", "Averaging"]
