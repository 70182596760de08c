"""Gradient inversion: training rows from what a coordinator receives of a round.

The attack of Zhu et al. 2019 (Deep Leakage from Gradients, NeurIPS) and Geiping et al. 2020
(Inverting Gradients, NeurIPS, section 4: a linear layer can be inverted without a search), made for
what `client_app.training` sends. Run ``python -m bench.inversion`` for docs/gradient-inversion.png.

A softmax model that starts from zeros gives every one of K classes the probability 1/K. So the
first step of a fit to rows x_1 ... x_n, one of each of n classes, moves the coefficients of class k
by

    W_k = s * (x_k - n/K * m)     with m the mean of the rows, and a step s that nobody tells.

`client_app.training` puts the mean of the present classes back to where it was, and leaves the
others:

    W_k = s * (x_k - m).

What is left to guess is one row, m. Every pixel is blank in some of a few digits: the least W_k of
a pixel is -s * m then, and what is above it is the image. Fits that go on until they converge end
at weighted sums of the rows too (the dual form), and the same attack works on them.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bench.federation import Joined, join_arrays, roster_of
from bench.recording import RecordingGrid
from blindfit.averaging import READABLE_ADDENDS, Averaging
from blindfit.console import say
from blindfit.estimators import parameter_shapes
from blindfit.secagg.masks import Words
from blindfit.study import Study, load_study
from server_app.in_process import conduct_in_process
from server_app.run_folder import RunFolder

Floats = NDArray[np.float64]
Parts = dict[str, NDArray[np.intp]]

PIXELS, GREYS = 64, 16
VICTIM = "victim"
VICTIM_ROWS = 8  # of as many classes
PICTURE = Path("docs") / "gradient-inversion.png"
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


# -- the attack -----------------------------------------------------------------------------------


def moved_classes(coefficients: Floats) -> NDArray[np.intp]:
    """The classes that a participant has rows of, from its readable update of the first round."""
    return np.flatnonzero(np.abs(coefficients).max(axis=1))


def invert(coefficients: Floats, classes: NDArray[np.intp]) -> Floats:
    """A row (width,) for each of ``classes`` from coefficients (all classes, width)."""
    moved = coefficients[classes]
    rows = moved - moved.min(axis=0)
    return np.asarray(rows / rows.max(), np.float64)


def invert_lone(coefficients: Floats, label: int, public_mean: Floats) -> Floats:
    """The row of a class of which there is only one, from the mean over many participants.

    The others leave this class alone, so its coefficients are those of the one that has the row,
    made small. ``public_mean`` stands for the mean of that participant's rows; the scale follows
    from what a pixel can be at most.
    """
    moved = coefficients[label]
    scales = np.linspace(0.0, 3.0, 3000)[1:] / np.abs(moved).max()
    brightest = (scales[:, np.newaxis] * moved + public_mean).max(axis=1)
    scale = scales[np.abs(brightest - 1.0).argmin()]
    return np.clip(scale * moved + public_mean, 0.0, 1.0)


def likeness(recovered: Floats, rows: Floats) -> Floats:
    """Pearson's correlation of each recovered row with the true one."""
    pairs = zip(recovered, rows, strict=True)
    return np.array([np.corrcoef(one, other)[0, 1] for one, other in pairs])


def identified(recovered: Floats, indices: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether each recovered row is more like the true one than like any other of the 1,797."""
    X, _ = digits()
    alike = np.corrcoef(np.vstack([recovered, X]))[: len(recovered), len(recovered) :]
    return np.asarray(alike.argmax(axis=1) == indices)


# -- what is attacked -----------------------------------------------------------------------------


@cache
def digits() -> tuple[Floats, NDArray[np.int64]]:
    """scikit-learn's digits: pixels in [0, 1] (1797, 64), and labels."""
    X, y = load_digits(return_X_y=True)
    return X / GREYS, y


def deal(participants: int, seed: int = 0) -> Parts:
    """Rows for the victim and the others: one of each of the same eight classes, by index."""
    random = np.random.default_rng(seed)
    _, y = digits()
    classes = np.sort(random.permutation(10)[:VICTIM_ROWS])
    names = [VICTIM, *(f"other-{number}" for number in range(1, participants))]
    drawn = [random.permutation(np.flatnonzero(y == label))[:participants] for label in classes]
    return {name: np.array(indices) for name, indices in zip(names, zip(*drawn), strict=True)}


def deal_lone(participants: int, rows: int, seed: int = 0) -> tuple[Parts, int]:
    """As `deal`, but the others have many ``rows`` and none of one class; also returns that class."""
    random = np.random.default_rng(seed)
    _, y = digits()
    parts = deal(1, seed)
    label = int(random.choice(y[parts[VICTIM]]))
    free = np.setdiff1d(np.flatnonzero(y != label), parts[VICTIM])
    for number, indices in enumerate(np.split(random.permutation(free), range(rows, 1500, rows))):
        if number + 1 < participants:
            parts[f"other-{number + 1}"] = indices
    return parts, label


@dataclass(frozen=True)
class Seen:
    """What the coordinator sees of a training: the victim's words by round, and the first mean."""

    study: Study
    addends: int
    inputs: list[Words]
    mean: Floats  # coefficients (10, 64)

    def coefficients(self, words: Words) -> Floats:
        """The victim's coefficients (10, 64) if ``words`` are its update; the row count is known."""
        averaging = Averaging(self.study, self.addends)
        values = averaging.codec.decode(words)[averaging.metrics_length :] / VICTIM_ROWS
        shape = parameter_shapes(self.study)[0]
        return values[: shape[0] * shape[1]].reshape(shape)


def watch(
    folder: Path, parts: Parts, *, secure: bool, rounds: int = 1, iterations: int = 1
) -> Seen:
    """Train with these parts, in one process, and see what the coordinator sees."""
    folder.mkdir(parents=True)
    path, (X, y) = folder / "study.toml", digits()
    path.write_text(_STUDY.format(rounds=rounds, iterations=iterations, secure=str(secure).lower()))
    study = load_study(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arrays = {name: (X[rows] * GREYS, y[rows]) for name, rows in parts.items()}
        return _train(folder, study, join_arrays(folder, path, arrays), secure=secure)


def _train(folder: Path, study: Study, joined: list[Joined], *, secure: bool) -> Seen:
    addends = len(joined) if secure else READABLE_ADDENDS
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


def attack_each(seen: Seen, inputs: Sequence[Words], indices: NDArray[np.intp]) -> Floats:
    """The mean correlation that the attack gets from each input; it knows the victim's classes."""
    X, y = digits()
    recovered = [invert(seen.coefficients(words), y[indices]) for words in inputs]
    return np.array([likeness(rows, X[indices]).mean() for rows in recovered])
