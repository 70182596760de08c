"""Predictions as a table, and the table as a file."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from blindfit.errors import InputError
from blindfit.files import PRIVATE, write_atomic
from blindfit.manifest import Manifest
from blindfit.outputs import Predictions

_ENDINGS = (".csv", ".parquet")


def check_output(path: Path | None) -> None:
    """Raise `InputError` before the work if the result could not be written."""
    if path is None:
        return
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(f"{path}: predictions are written as {' or '.join(_ENDINGS)}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder")


def prediction_table(manifest: Manifest, predictions: Predictions) -> pd.DataFrame:
    """One row a prediction: the target's column, and ``probability_CLASS`` or ``score`` columns."""
    table = pd.DataFrame({manifest.schema_.target: predictions.values})
    classes = manifest.schema_.classes
    if classes is None:
        return table
    if predictions.probabilities is not None:
        for index, label in enumerate(classes):
            table[f"probability_{label}"] = predictions.probabilities[:, index]
    elif predictions.scores.shape[1] == 1:
        table[f"score_{classes[1]}"] = predictions.scores[:, 0]
    else:
        for index, label in enumerate(classes):
            table[f"score_{label}"] = predictions.scores[:, index]
    return table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write CSV or Parquet, whole or not at all, readable by its owner only."""
    buffer = io.BytesIO()
    if path.suffix.lower() == ".csv":
        table.to_csv(buffer, index=False)
    else:
        table.to_parquet(buffer, index=False)
    write_atomic(path, buffer.getvalue(), PRIVATE)
