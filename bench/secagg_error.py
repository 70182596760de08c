"""How far secure sums are from plain ones, for every estimator."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits

from bench.federation import join, train
from blindfit.averaging import Averaging
from blindfit.dataset import Dataset
from blindfit.estimators import get_parameters, initial_parameters
from blindfit.study import CLASSIFIERS, EstimatorName, Study, parse_study
from client_app.training import fit_local

_PARTICIPANTS = 3
_DIGITS = """
[schema]
target = "label"
classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[schema.features]]
name = "pixel{0..63}"
kind = "number"
min = 0
max = 16
"""
_DIABETES = """
[schema]
target = "progression"
target_range = { min = 25, max = 346 }
[[schema.features]]
name = "x{0..9}"
kind = "number"
min = 0
max = 1
"""


def measure_error(work: Path) -> dict[str, float]:
    """By estimator, the largest difference in a round, as a share of the stated bound."""
    return {name: _error(work / name, name) for name in get_args(EstimatorName)}


def _error(work: Path, name: str) -> float:
    """Of the secure sum's mean parameters from the mean of the same fits in floating point."""
    study, parts = _study(name), _parts(name)
    work.mkdir(parents=True)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        joined = [join(work, study, f"p{number}", part) for number, part in enumerate(parts)]
        secure = get_parameters(train(study, joined, work / "run").model())
        start = initial_parameters(study)
        fits = [fit_local(study, start, part.X, part.y, seed=1) for part in parts]
    rows = [len(part.X) for part in parts]
    plain = [np.average(np.stack(one), axis=0, weights=rows) for one in zip(*fits, strict=True)]
    pairs = zip(secure, plain, strict=True)
    largest = max(float(np.abs(one - other).max()) for one, other in pairs)
    return largest / Averaging(study, _PARTICIPANTS).error(sum(rows))


def _study(name: str) -> Study:
    head = f"[study]\nname = 'error'\n[model]\nestimator = '{name}'\n[federation]\nrounds = 1\n"
    return parse_study(head + (_DIGITS if name in CLASSIFIERS else _DIABETES), source="study")


def _parts(name: str) -> list[Dataset]:
    """Digits or diabetes, dealt to three participants of different sizes."""
    X, y = _rows(name)
    ends = np.cumsum([len(X) // 6, len(X) // 3])
    return [
        Dataset(part, target, "")
        for part, target in zip(np.split(X, ends), np.split(y, ends), strict=True)
    ]


def _rows(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if name in CLASSIFIERS:
        X, y = load_digits(return_X_y=True)
        return X / 16, y
    X, y = load_diabetes(return_X_y=True)
    return (X - X.min(axis=0)) / (X.max(axis=0) - X.min(axis=0)), y


__all__ = ["measure_error"]
