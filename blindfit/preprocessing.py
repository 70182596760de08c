"""From rows to the numbers that are encrypted: in clear, on the client, with known bounds.

Every encoded value is in [0, 1]: numbers are scaled by their declared bounds, categories become one
0/1 column each, texts are hashed into 0/1 buckets. One scale for all columns matters: a circuit has
one quantizer for all its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blindfit.errors import InputError, RowsError
from blindfit.schema import CategoryFeature, NumberFeature, Schema, TextFeature, feature_width

Floats = NDArray[np.float64]
OutOfBounds = Literal["error", "clip"]


@dataclass(frozen=True)
class Encoded:
    """Rows ready for a model: ``X`` (n, width) in [0, 1], and each column's clipped values."""

    X: Floats
    clipped: dict[str, int] = field(default_factory=dict)

    def warning(self) -> str:
        """What to tell the person about clipped values; empty when there were none."""
        if not self.clipped:
            return ""
        columns = ", ".join(f"{name} ({count})" for name, count in sorted(self.clipped.items()))
        return f"{sum(self.clipped.values())} values were outside the bounds and clipped: {columns}"


def encode(rows: pd.DataFrame, schema: Schema, *, out_of_bounds: OutOfBounds = "error") -> Encoded:
    """Encode the features of ``rows`` (n, columns).

    Raises `RowsError` naming row (the first is 1), column, value and bound.
    ``out_of_bounds="clip"`` moves numbers to the nearest bound instead; a NaN or
    a text is an error either way.
    """
    if out_of_bounds not in ("error", "clip"):
        raise InputError(f"out of bounds: {out_of_bounds!r} is neither error nor clip")
    X = np.empty((len(rows), schema.width), dtype=np.float64)
    clipped: dict[str, int] = {}
    start = 0
    for name, feature in schema.columns():
        if name not in rows.columns:
            raise RowsError(f"the column {name} is missing (the schema declares it)")
        stop = start + feature_width(feature)
        column = rows[name]
        if isinstance(feature, NumberFeature):
            X[:, start], outside = _scaled(column, name, feature.min, feature.max, out_of_bounds)
            if outside:
                clipped[name] = outside
        elif isinstance(feature, CategoryFeature):
            X[:, start:stop] = _one_hot(column, name, feature)
        else:
            X[:, start:stop] = _hashed(column, name, feature)
        start = stop
    return Encoded(X, clipped)


def encode_target(rows: pd.DataFrame, schema: Schema) -> NDArray[Any]:
    """The target (n,): classes as the study writes them, or numbers inside ``target_range``."""
    name = schema.target
    if name not in rows.columns:
        raise RowsError(f"the column {name} is missing (it is the target)")
    if schema.target_range is not None:
        bounds = schema.target_range
        values = _numbers(rows[name], name)
        _refuse_outside(values, name, bounds.min, bounds.max, "a target is never clipped")
        return values
    classes = np.asarray(schema.classes)
    if classes.dtype.kind in "iu":
        values = _numbers(rows[name], name)
        known = np.isin(values, classes)
        labels: NDArray[Any] = values.astype(np.int64)
    else:
        labels = rows[name].astype(str).to_numpy(dtype=classes.dtype.kind)
        known = np.isin(labels, classes)
    if not known.all():
        row = int(np.argmin(known))
        allowed = ", ".join(map(str, classes[:20])) + (", ..." if len(classes) > 20 else "")
        raise RowsError(
            f"row {row + 1}, column {name}: {rows[name].iloc[row]!r} is not one of the study's "
            f"classes ({allowed})"
        )
    return labels


def _numbers(column: pd.Series, name: str) -> Floats:
    values: Floats = pd.to_numeric(column, errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.argmax(bad))
        given = column.iloc[row]
        what = "is missing" if given is None or given != given or given == "" else "is not a number"
        raise RowsError(
            f"row {row + 1}, column {name}: {given!r} {what}; a finite number is needed"
        )
    return values


def _refuse_outside(values: Floats, name: str, low: float, high: float, hint: str) -> None:
    outside = (values < low) | (values > high)
    if outside.any():
        row = int(np.argmax(outside))
        bound = f"below min {low:g}" if values[row] < low else f"above max {high:g}"
        raise RowsError(f"row {row + 1}, column {name}: {values[row]:g} is {bound}", hint=hint)


def _scaled(
    column: pd.Series, name: str, low: float, high: float, out_of_bounds: OutOfBounds
) -> tuple[Floats, int]:
    values = _numbers(column, name)
    if out_of_bounds == "error":
        hint = "correct the row, or pass `--out-of-bounds clip` to move it to the bound"
        _refuse_outside(values, name, low, high, hint)
    outside = int(((values < low) | (values > high)).sum())
    return np.clip((values - low) / (high - low), 0.0, 1.0), outside


def _one_hot(column: pd.Series, name: str, feature: CategoryFeature) -> Floats:
    values = column.map(_category).to_numpy(dtype=object)
    codes = pd.Index(feature.categories).get_indexer(pd.Index(values))
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise RowsError(
            f"row {row + 1}, column {name}: {values[row]!r} is not one of the categories "
            f"({', '.join(feature.categories[:20])})"
        )
    one_hot: Floats = np.eye(len(feature.categories))[codes]
    return one_hot


def _category(value: Any) -> str:
    # An array of numbers has no other way to say category 2 than 2.0.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _hashed(column: pd.Series, name: str, feature: TextFeature) -> Floats:
    from sklearn.feature_extraction.text import HashingVectorizer

    missing = column.isna().to_numpy()
    if missing.any():
        raise RowsError(f"row {int(np.argmax(missing)) + 1}, column {name}: the text is missing")
    # Binary and without norm: every bucket is 0 or 1 whatever the text, which bounds the circuit.
    vectorizer = HashingVectorizer(
        n_features=feature.buckets, binary=True, norm=None, alternate_sign=False
    )
    dense: Floats = vectorizer.transform(column.astype(str)).toarray()
    return np.minimum(dense, 1.0)


__all__ = ["Encoded", "OutOfBounds", "encode", "encode_target"]
