"""A participant's part of a round of ``[privacy.participants]``: its whole update, clipped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blindfit.estimators import Parameters, flatten
from blindfit.study import Study
from blindfit.sum_layout import EXTRA_WEIGHT, split

Floats = NDArray[np.float64]

_MARGIN = 1.0 - 2.0**-40  # more than rounding can do to a norm and its reciprocal


def clipped_update(
    study: Study, before: Parameters, after: Parameters, score: float, clip: float
) -> Floats:
    """The change of the parameters, scaled to an L2 norm of at most ``clip``, and the score.

    Both parameters are standardised (`blindfit.standard_units.to_standard_units`), so that one clip
    suits every study. ``score`` is that of ``before`` on the participant's rows, told between 0
    and 1. The vector (`blindfit.sum_layout.dimension`,) is a secret without noise; without this
    participant it would be zeros, and its norm is at most `blindfit.sum_layout.sensitivity`. Raises
    `UpdateError` for parameters of another shape than the study's.
    """
    change = np.nan_to_num(flatten(after) - flatten(before), posinf=0.0, neginf=0.0)
    length = float(np.linalg.norm(change))
    change *= clip * _MARGIN / max(length, clip * _MARGIN)
    told = np.nan_to_num(np.clip(score, 0.0, 1.0)) * EXTRA_WEIGHT * clip * _MARGIN
    vector = np.append(change, told)
    split(study, vector)
    return vector


__all__ = ["clipped_update"]
