"""Calibration rows that need no private data, and that no allowed row can exceed.

Encoded rows lie in [0, 1]. Every integer inside a linear circuit is an affine function of the
quantized row q: ``q @ w``, ``z * sum(q)``, their difference and that plus a constant (w and z: the
quantized weights and their zero point). An affine function on a box is extreme at the corners that
follow the signs of its coefficients, so these corners bound the circuit for every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from server_app.quantize import is_linear

Floats = NDArray[np.float64]


def worst_case_rows(weights: NDArray[np.int64], zero_point: int) -> Floats:
    """The extreme corners (n, width) of a linear circuit with ``weights`` (width, outputs).

    For each output the row at the upper bound where the coefficient is positive and at the lower
    where it is negative, and the reverse, for ``w`` and for ``w - z``; and the all-lower and
    all-upper rows, which are extreme for the sum of the inputs.
    """
    width = weights.shape[0]
    signs = np.concatenate([weights > 0, weights > zero_point], axis=1).T
    corners = np.concatenate([np.zeros((1, width)), np.ones((1, width)), signs, ~signs])
    rows: Floats = np.unique(corners.astype(np.float64), axis=0)
    return rows


def boundary_and_random_rows(width: int, count: int, seed: int) -> Floats:
    """``count`` rows (count, width) for the gate: half of them corners, half inside."""
    generator = np.random.default_rng(seed)
    corners = generator.integers(0, 2, size=(count // 2, width)).astype(np.float64)
    inside = generator.random(size=(count - count // 2, width))
    return np.concatenate([corners, inside])


def calibration_rows(quantized: Any, width: int) -> Floats:
    """What to compile a Concrete ML model with: the worst case if it is linear.

    Trees compare quantized inputs, which are clipped to their bits, so they cannot overflow: the
    range of each input is enough.
    """
    if is_linear(quantized):
        zero_point = int(np.asarray(quantized._weight_quantizer.zero_point))
        return worst_case_rows(quantized._q_weights, zero_point)
    return np.concatenate(
        [np.zeros((1, width)), np.ones((1, width)), boundary_and_random_rows(width, 100, seed=0)]
    )
