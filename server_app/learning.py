"""How sums become the next model, by the kind of training: pure state, without Flower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from blindfit.averaging import READABLE_ADDENDS, Averaging
from blindfit.errors import TrainingError
from blindfit.estimators import Parameters, initial_parameters
from blindfit.federation_messages import Purpose
from blindfit.metrics import Metrics
from blindfit.secagg.masks import Words
from blindfit.study import Study


@dataclass(frozen=True)
class Learned:
    """The next parameters (the old ones after an evaluation), and the old ones' metrics."""

    parameters: Parameters
    metrics: Metrics


class Learner(Protocol):
    """Turns the sums of one training into models."""

    def length(self, purpose: Purpose) -> int:
        """How many words an input has."""

    def learn(self, purpose: Purpose, before: Parameters, total: Words, inputs: int) -> Learned:
        """What a sum of ``inputs`` inputs says; raises `TrainingError` if it cannot be."""

    def state(self) -> Parameters:
        """What has to be kept beside the parameters to go on later."""


class Averager:
    """Federated averaging keeps nothing between rounds."""

    def __init__(self, study: Study, addends: int) -> None:
        self._averaging = Averaging(study, addends)

    def length(self, purpose: Purpose) -> int:
        """See `Learner`."""
        return self._averaging.length if purpose == "fit" else self._averaging.metrics_length

    def learn(self, purpose: Purpose, before: Parameters, total: Words, inputs: int) -> Learned:
        """See `Learner`."""
        metrics, mean = self._averaging.decode(total)
        return Learned(before if mean is None else mean, metrics)

    def state(self) -> Parameters:
        """See `Learner`."""
        return []


def make_learner(study: Study, known: int, state: Parameters) -> Learner:
    """The study's learner for ``known`` participants, going on from ``state``.

    Raises `TrainingError` for more participants than a study without secure aggregation has room
    for, and `StudyError` where sums could overflow.
    """
    addends = known
    if not study.privacy.secure_aggregation:
        if known > READABLE_ADDENDS:
            raise TrainingError(f"{known} participants; without secure aggregation at most 1024")
        addends = READABLE_ADDENDS
    return Averager(study, addends)


__all__ = ["Averager", "Learned", "Learner", "initial_parameters", "make_learner"]
