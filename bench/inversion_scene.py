"""What gradient inversion is tried on: digits at participants, and what their coordinator sees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bench.federation import join_arrays, roster_of
from bench.recording import RecordingGrid
from blindfit.averaging import READABLE_ADDENDS, Averaging
from blindfit.estimators import unflatten
from blindfit.secagg.masks import Words
from blindfit.study import Study, load_study
from server_app.in_process import conduct_in_process
from server_app.run_folder import RunFolder

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Parts = dict[str, Indices]

VICTIM = "victim"
VICTIM_ROWS = 8  # one of each of as many classes
_GREYS = 16
_STUDY = """
[study]
name = "digits"
[model]
estimator = "LogisticRegression"
params = {{ max_iter = {iterations} }}
[federation]
rounds = {rounds}
min_participants = 2
[privacy]
secure_aggregation = {secure}
[schema]
target = "label"
classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[schema.features]]
name = "pixel{{0..63}}"
kind = "number"
min = 0
max = 16
"""


@cache
def digits() -> tuple[Floats, NDArray[np.int64]]:
    """scikit-learn's digits: pixels in [0, 1] (1797, 64), and labels."""
    X, y = load_digits(return_X_y=True)
    return X / _GREYS, y


def deal(participants: int, seed: int = 0) -> Parts:
    """Indices of rows: for everybody one of each of the same eight classes."""
    random = np.random.default_rng(seed)
    _, y = digits()
    classes = np.sort(random.permutation(10)[:VICTIM_ROWS])
    rows = [random.permutation(np.flatnonzero(y == label))[:participants] for label in classes]
    names = [VICTIM, *(f"other-{number}" for number in range(1, participants))]
    return dict(zip(names, np.stack(rows, axis=1), strict=True))


def deal_lone(participants: int, rows: int, seed: int = 0) -> tuple[Parts, int]:
    """As `deal`, but the others have ``rows`` each, none of one of the victim's classes.

    Returns that class too.
    """
    random = np.random.default_rng(seed)
    _, y = digits()
    parts = deal(1, seed)
    label = int(random.choice(y[parts[VICTIM]]))
    free = random.permutation(np.setdiff1d(np.flatnonzero(y != label), parts[VICTIM]))
    for number in range(1, participants):
        parts[f"other-{number}"] = free[(number - 1) * rows : number * rows]
    return parts, label


@dataclass(frozen=True)
class Seen:
    """What the coordinator sees: the victim's words, by round, and the last mean (10, 64)."""

    study: Study
    addends: int
    inputs: list[Words]
    mean: Floats

    def coefficients(self, words: Words) -> Floats:
        """``words`` as the victim's coefficients (10, 64), if they are; its row count is known."""
        averaging = Averaging(self.study, self.addends)
        values = averaging.codec.decode(words)[averaging.metrics_length :] / VICTIM_ROWS
        return unflatten(self.study, values)[0]


def watch(
    folder: Path, parts: Parts, *, secure: bool, rounds: int = 1, iterations: int = 1
) -> Seen:
    """Train with these parts in one process, and keep what the coordinator sees."""
    folder.mkdir(parents=True)
    path, (X, y) = folder / "study.toml", digits()
    switch = str(secure).lower()
    path.write_text(_STUDY.format(rounds=rounds, iterations=iterations, secure=switch))
    study = load_study(path)
    addends = len(parts) if secure else READABLE_ADDENDS
    arrays = {name: (X[rows] * _GREYS, y[rows]) for name, rows in parts.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joined = join_arrays(folder, path, arrays)
        grid = RecordingGrid(joined, Averaging(study, addends).length)
        run = RunFolder.create(folder / "run", study, roster_of(joined))
        conduct_in_process(run, grid)
    inputs = [words for (_, node), words in sorted(grid.inputs.items()) if node == 1]
    return Seen(study, addends, inputs, run.model().coef_)


def random_guesses(seen: Seen, times: int, seed: int = 0) -> list[Words]:
    """Words that have nothing to do with anybody's rows."""
    random = np.random.default_rng(seed)
    length = len(seen.inputs[0])
    return [random.integers(0, 1 << 64, length, dtype=np.uint64) for _ in range(times)]


__all__ = [
    "VICTIM",
    "VICTIM_ROWS",
    "Seen",
    "deal",
    "deal_lone",
    "digits",
    "random_guesses",
    "watch",
]
