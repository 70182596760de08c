"""MNIST: from ``--data``, the data folder beside the checkout, or openml.org."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blindfit.console import say
from blindfit.study import Study, parse_study

_BESIDE = Path("..") / "shared" / "data" / "mnist_784.npz"
MNIST_STUDY = """
[study]
name = "mnist"
[model]
estimator = "LogisticRegression"
params = { max_iter = 20 }
[federation]
rounds = 5
min_participants = 10
[schema]
target = "digit"
classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[schema.features]]
name = "pixel{0..783}"
kind = "number"
min = 0
max = 255
"""


@dataclass(frozen=True)
class Images:
    """uint8 pixels (n, 784) and labels (n,) to train with and to test with."""

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


def mnist_study() -> Study:
    """Ten participants, five rounds, 784 raw pixels."""
    return parse_study(MNIST_STUDY, source="the MNIST study")


def load_mnist(path: Path | None) -> Images:
    """The usual 60,000 and 10,000 images; ``path`` names a ``.npz`` with the four arrays."""
    path = path or (_BESIDE if _BESIDE.exists() else None)
    if path is not None:
        with np.load(path, allow_pickle=False) as arrays:
            names = ("X_train", "y_train", "X_test", "y_test")
            X, y, X_test, y_test = (arrays[name] for name in names)
            return Images(X, y.astype(np.int64), X_test, y_test.astype(np.int64))
    from sklearn.datasets import fetch_openml

    say("fetching MNIST from openml.org")
    X, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
    X, y = X.astype(np.uint8), y.astype(np.int64)
    return Images(X[:60_000], y[:60_000], X[60_000:], y[60_000:])
