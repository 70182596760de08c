"""A model's scores on labelled rows: the float model's, the quantized one's, and encrypted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, r2_score

from blindfit.dataset import load
from blindfit.errors import InputError
from blindfit.events import finite
from blindfit.manifest import Evaluation
from blindfit.preprocessing import OutOfBounds
from blindfit.schema import Schema
from blindfit.study import Study
from server_app.comparing import clear_predictions, quantized_predictions
from server_app.compile import Compiled
from server_app.quantize import quantized_outputs

SAMPLE_ROWS = 50  # executed encrypted; a linear row takes a tenth of a second
SAMPLE_TREE_ROWS = 6  # and one of a tree seconds
_SEED = 2  # which rows are in the sample can be found out again

Source = Literal["training", "evaluation"]


@dataclass(frozen=True)
class LabelledRows:
    """Encoded rows ``X`` (n, width) in [0, 1] with targets ``y`` (n,).

    ``source`` says whether the model was trained on them, which flatters it.
    """

    X: NDArray[np.float64]
    y: NDArray[Any]
    source: Source = "evaluation"


def labelled_rows(
    study: Study, path: Path, source: Source = "evaluation", out_of_bounds: OutOfBounds = "error"
) -> LabelledRows:
    """The rows in ``path`` with their targets; raises `RowsError` for what breaks the schema."""
    data = load(study, path, out_of_bounds)
    return LabelledRows(data.X, data.y, source)


def evaluate_model(
    estimator: Any,
    compiled: Compiled,
    schema: Schema,
    rows: LabelledRows,
    encrypted_rows: int | None = None,
) -> tuple[Evaluation, dict[str, float]]:
    """Score ``rows``, a sample of them encrypted too; the scores are called as in `Evaluation`.

    ``encrypted_rows`` is how many (None: `SAMPLE_ROWS`, or `SAMPLE_TREE_ROWS`). Raises
    `InputError` for rows that are not encoded, and `PublishError` where encrypted execution does
    not give exactly the quantized output.
    """
    _check(rows, compiled.circuit.inputs)
    if encrypted_rows is None:
        slow = compiled.circuit.programmable_bootstraps
        encrypted_rows = SAMPLE_TREE_ROWS if slow else SAMPLE_ROWS
    sample = _sample(len(rows.X), encrypted_rows)
    quantized = quantized_outputs(compiled.quantized, rows.X)
    executions = compiled.trial.prove(rows.X[sample], quantized[sample])
    decrypted = np.stack([execution.outputs for execution in executions])
    predicted = {
        "clear": clear_predictions(estimator, rows.X),
        "quantized": quantized_predictions(estimator, compiled.quantized, quantized),
    }
    sampled = {name: None if p is None else p[sample] for name, p in predicted.items()}
    sampled["encrypted"] = quantized_predictions(
        estimator, compiled.quantized, decrypted.reshape(quantized[sample].shape)
    )
    truth = _truth(schema, rows.y)
    scores = _scores(schema, "", truth, predicted)
    scores |= _scores(schema, "sample_", truth[sample], sampled)
    about = Evaluation(
        source=rows.source,
        rows=len(rows.X),
        encrypted_rows=len(sample),
        agreed=len(executions),  # or `prove` would have raised
    )
    return about, scores


def _check(rows: LabelledRows, width: int) -> None:
    if (
        rows.X.ndim != 2
        or rows.X.shape[1] != width
        or len(rows.X) != len(rows.y)
        or not len(rows.y)
    ):
        raise InputError(
            f"the labelled rows have shape {rows.X.shape} and {len(rows.y)} targets; "
            f"the model takes (n, {width})"
        )
    if not ((rows.X >= 0) & (rows.X <= 1)).all():
        raise InputError(
            "the labelled rows are not encoded", hint="use `server_app.evaluation.labelled_rows`"
        )


def _sample(rows: int, count: int) -> NDArray[np.int64]:
    drawn = np.random.default_rng(_SEED).choice(rows, size=min(rows, max(1, count)), replace=False)
    return np.sort(drawn)


def _truth(schema: Schema, y: NDArray[Any]) -> NDArray[Any]:
    return y if schema.classes is None else np.searchsorted(np.asarray(schema.classes), y)


def _scores(
    schema: Schema, prefix: str, truth: NDArray[Any], predicted: dict[str, NDArray[Any] | None]
) -> dict[str, float]:
    """Accuracy of classes or R² of values, by name; left out where it is not defined."""
    score, name = (r2_score, "r2") if schema.classes is None else (accuracy_score, "accuracy")
    found = {}
    for what, values in predicted.items():
        if values is None or (name == "r2" and len(truth) < 2) or not np.isfinite(values).all():
            continue
        value = finite(float(score(truth, values)))
        if value is not None:
            found[f"{prefix}{what}_{name}"] = value
    return found


__all__ = ["SAMPLE_ROWS", "LabelledRows", "evaluate_model", "labelled_rows"]
