"""Record-level differential privacy on MNIST: real participants, masks, noise and ledgers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.federation import Joined, join, train
from bench.images import Images
from blindfit.dataset import load
from blindfit.study import Study, parse_study
from client_app.budget import Budget
from client_app.study_budget import StudyBudget

PARTICIPANTS = 10
_SIDE = 14  # pixels, of 28: the mean of each two by two
_STUDY = """
[study]
name = "private-digits"
[model]
estimator = "LogisticRegression"
[federation]
rounds = 50
min_participants = 10
[privacy]
threshold = 10
max_rows = 10000
[privacy.records]
epsilon = 1.0
delta = 1e-5
clip = 1.0
honest = 10
[schema]
target = "digit"
classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[schema.features]]
name = "pixel{0..195}"
kind = "number"
min = 0
max = 255
"""


@dataclass(frozen=True)
class PrivateTraining:
    """Accuracy on the test images, and the epsilon that a participant's ledger says was spent."""

    accuracy: float
    epsilon: float
    delta: float
    participants: int


def measure_private_training(work: Path, images: Images, seed: int = 0) -> PrivateTraining:
    """Fifty rounds with ten participants, their rows dealt by ``seed``."""
    study = parse_study(_STUDY, source="the private study")
    joined = _participants(work, study, images, seed)
    model = train(study, joined, work / "run").model()
    predicted = model.predict(_pooled(images.X_test) / 255)
    guarantee = study.privacy.records
    delta = 0.0 if guarantee is None else guarantee.delta
    spent = max(Budget.open(work / one.name).spent() for one in joined)
    return PrivateTraining(float((predicted == images.y_test).mean()), spent, delta, len(joined))


def _participants(work: Path, study: Study, images: Images, seed: int) -> list[Joined]:
    work.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(seed).permutation(len(images.X_train))
    joined = []
    for number, part in enumerate(np.array_split(order, PARTICIPANTS)):
        name = f"owner-{number}"
        path = work / f"{name}.npz"
        np.savez(path, X=_pooled(images.X_train[part]), y=images.y_train[part])
        ledger = StudyBudget(Budget.open(work / name))
        joined.append(join(work, study, name, load(study, path), ledger=ledger))
        path.unlink()
    return joined


def _pooled(images: NDArray[Any]) -> NDArray[np.float64]:
    blocks = images.astype(np.float64).reshape(-1, _SIDE, 2, _SIDE, 2)
    pooled: NDArray[np.float64] = blocks.mean(axis=(2, 4)).reshape(len(images), _SIDE * _SIDE)
    return pooled


__all__ = ["PARTICIPANTS", "PrivateTraining", "measure_private_training"]
