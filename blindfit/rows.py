"""Rows from files: CSV, Parquet and ``.npz``, as a table with the schema's columns."""

from __future__ import annotations

import csv
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from blindfit.errors import RowsError
from blindfit.schema import NumberFeature, Schema


def read_rows(path: Path, schema: Schema, *, with_target: bool) -> pd.DataFrame:
    """The table in ``path`` (n rows), by the ending of its name.

    A ``.npz`` holds ``X`` (n, columns in the schema's order) and, with a target, ``y`` (n,).
    Raises `RowsError` for a file that cannot be read or lacks a column; other columns are ignored.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".npz": _read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RowsError(f"{path}: rows come from {', '.join(readers)} files")
    if not path.is_file():
        raise RowsError(f"{path}: no such file")
    wanted = [name for name, _ in schema.columns()] + ([schema.target] if with_target else [])
    try:
        table = reader(path, schema)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, pd.errors.ParserError) as error:
        raise RowsError(f"{path}: cannot be read: {error}") from error
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise RowsError(f"{path}: the columns {named} are missing (the schema declares them)")
    if table.empty:
        raise RowsError(f"{path}: has no rows")
    return table[wanted].reset_index(drop=True)


def _read_csv(path: Path, schema: Schema) -> pd.DataFrame:
    # A category may be called "NA" and a code may start with zeros: only numbers are parsed.
    numbers = {name for name, f in schema.columns() if isinstance(f, NumberFeature)}
    if not schema.is_classification or isinstance((schema.classes or ("",))[0], int):
        numbers.add(schema.target)
    header = _csv_header(path)
    wanted = {name for name, _ in schema.columns()} | {schema.target}
    twice = sorted({name for name in header if header.count(name) > 1} & wanted)
    if twice:
        raise ValueError(f"the column {twice[0]} is there twice")
    texts = {name: str for name in header if name not in numbers}
    with warnings.catch_warnings():
        # A row with more fields than the header would shift every column; pandas only warns.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                path, dtype=texts, keep_default_na=False, low_memory=False, index_col=False
            )
        except pd.errors.ParserWarning as warning:
            raise ValueError("rows have more fields than the header") from warning


def _csv_header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file), None)
    if not header:
        raise ValueError("it is empty")
    return header


def _read_parquet(path: Path, schema: Schema) -> pd.DataFrame:
    del schema
    return pd.read_parquet(path)


def _read_npz(path: Path, schema: Schema) -> pd.DataFrame:
    names = [name for name, _ in schema.columns()]
    with np.load(path, allow_pickle=False) as arrays:
        X = arrays["X"]
        if X.ndim != 2 or X.shape[1] != len(names):
            raise ValueError(f"X has shape {X.shape}; the schema needs (rows, {len(names)})")
        table = pd.DataFrame(X, columns=names)
        if "y" in arrays:
            y = arrays["y"]
            if y.shape != (len(X),):
                raise ValueError(f"y has shape {y.shape}; X has {len(X)} rows")
            table[schema.target] = y
    return table


__all__ = ["read_rows"]
