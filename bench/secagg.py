"""What secure aggregation costs a training in bytes and in accuracy, next to readable updates."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.federation import Joined, join, roster_of, train
from bench.images import MNIST_STUDY, Images
from bench.secagg_study import CLASSES, WIDTH, eight_thousand_weights
from bench.wire import CountingGrid
from blindfit.dataset import Dataset
from blindfit.study import Study, parse_study
from server_app.in_process import conduct_in_process
from server_app.run_folder import RunFolder

PARTICIPANTS = 10
_ROWS = 30  # of each participant: they do not change a byte
_READABLE = "[privacy]\nsecure_aggregation = false\n"


@dataclass(frozen=True)
class Compared:
    """The same with secure aggregation and with readable updates."""

    secure: float
    readable: float


def measure_bytes(work: Path) -> Compared:
    """Bytes to and from one of ten participants for one of five rounds with 8,000 weights.

    All that a training sends is divided among the rounds: also how it begins and ends.
    """
    return Compared(
        _round_bytes(work / "secure", secure=True),
        _round_bytes(work / "readable", secure=False),
    )


def _round_bytes(work: Path, *, secure: bool) -> float:
    study, random = eight_thousand_weights(secure=secure), np.random.default_rng(0)
    labels = np.arange(_ROWS) % CLASSES
    parts = [Dataset(random.random((_ROWS, WIDTH)), labels, "") for _ in range(PARTICIPANTS)]
    joined = _join(work, study, parts)
    grid = CountingGrid(joined)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conduct_in_process(RunFolder.create(work / "run", study, roster_of(joined)), grid)
    return sum(grid.bytes.values()) / PARTICIPANTS / study.federation.rounds


def measure_accuracy(work: Path, images: Images, seed: int = 0) -> Compared:
    """Accuracy on MNIST's test images of the benchmark's federated training, all else equal."""
    order = np.random.default_rng(seed).permutation(len(images.X_train))
    parts = [
        Dataset(images.X_train[part] / 255, images.y_train[part], "")
        for part in np.array_split(order, PARTICIPANTS)
    ]
    return Compared(
        _accuracy(work / "secure", MNIST_STUDY, parts, images),
        _accuracy(work / "readable", MNIST_STUDY + _READABLE, parts, images),
    )


def _accuracy(work: Path, text: str, parts: list[Dataset], images: Images) -> float:
    study = parse_study(text, source="the MNIST study")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = train(study, _join(work, study, parts), work / "run").model()
    return float((model.predict(images.X_test / 255) == images.y_test).mean())


def _join(work: Path, study: Study, parts: list[Dataset]) -> list[Joined]:
    work.mkdir(parents=True)
    return [join(work, study, f"participant-{i}", part) for i, part in enumerate(parts)]


__all__ = ["PARTICIPANTS", "Compared", "measure_accuracy", "measure_bytes"]
