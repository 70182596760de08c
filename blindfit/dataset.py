"""Labelled rows for training: read from a file, checked against the study, encoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.preprocessing import OutOfBounds, encode, encode_target
from blindfit.rows import read_rows
from blindfit.study import Study


@dataclass(frozen=True)
class Dataset:
    """``X`` (n, width) in [0, 1], targets ``y`` (n,), and what was clipped; empty if nothing."""

    X: NDArray[np.float64]
    y: NDArray[Any]
    warning: str


def load(study: Study, path: Path, out_of_bounds: OutOfBounds = "error") -> Dataset:
    """The rows in ``path`` with their targets.

    Raises `RowsError` naming row, column, value and bound. Targets are never clipped.
    """
    rows = read_rows(path, study.schema_, with_target=True)
    encoded = encode(rows, study.schema_, out_of_bounds=out_of_bounds)
    return Dataset(encoded.X, encode_target(rows, study.schema_), encoded.warning())
