"""How sums become the next model, by the kind of training: state without input or output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blindfit.averaging import READABLE_ADDENDS, Averaging
from blindfit.errors import TrainingError
from blindfit.estimators import Parameters, initial_parameters, make_estimator
from blindfit.federation_messages import Purpose
from blindfit.metrics import Metrics
from blindfit.noise_plan import plan
from blindfit.privacy import ParticipantGuarantee, RecordGuarantee
from blindfit.secagg.masks import Words
from blindfit.standard_units import to_model_units, to_standard_units
from blindfit.study import Study
from blindfit.sum_layout import Floats, read_noisy_sum, read_noisy_updates
from server_app.descent import Descent

_TELLING = 10_000


@dataclass(frozen=True)
class Progress:
    """Where a training is: what participants are sent, the model so far, what else to keep."""

    parameters: Parameters
    model: Parameters
    state: dict[str, Floats]


class Learner(Protocol):
    """Turns the sums of one training into models."""

    def begin(self) -> Progress:
        """Before the first round."""

    def length(self, purpose: Purpose) -> int:
        """How many words an input has."""

    def learn(
        self, purpose: Purpose, before: Progress, total: Words, inputs: int
    ) -> tuple[Progress, Metrics]:
        """What a sum of ``inputs`` inputs makes of ``before``, whose metrics it tells.

        After an evaluation ``before`` stays. Raises `TrainingError` for an impossible sum.
        """


class Averager:
    """Federated averaging keeps nothing between rounds."""

    def __init__(self, study: Study, addends: int) -> None:
        self._study, self._averaging = study, Averaging(study, addends)
        _ = self._averaging.codec  # so that an overflow is found before any round

    def begin(self) -> Progress:
        """See `Learner`."""
        zeros = initial_parameters(self._study)
        return Progress(zeros, zeros, {})

    def length(self, purpose: Purpose) -> int:
        """See `Learner`."""
        return self._averaging.length if purpose == "fit" else self._averaging.metrics_length

    def learn(
        self, purpose: Purpose, before: Progress, total: Words, inputs: int
    ) -> tuple[Progress, Metrics]:
        """See `Learner`."""
        del purpose, inputs  # an evaluation is as short as it is, and a mean is weighted by rows
        metrics, mean = self._averaging.decode(total)
        return (before if mean is None else Progress(mean, mean, {})), metrics


class GradientDescent:
    """``[privacy.records]``: a step of descent for each noisy sum of gradients."""

    def __init__(self, study: Study, guarantee: RecordGuarantee) -> None:
        self._study, self._clip, self._plan = study, guarantee.clip, plan(study)
        self._estimator = make_estimator(study)

    def begin(self) -> Progress:
        """See `Learner`."""
        return self._progress(Descent.begin(self._study))

    def length(self, purpose: Purpose) -> int:
        """See `Learner`."""
        del purpose
        return self._plan.dimension

    def learn(
        self, purpose: Purpose, before: Progress, total: Words, inputs: int
    ) -> tuple[Progress, Metrics]:
        """See `Learner`."""
        del purpose, inputs
        vector = self._plan.from_grid(total.astype(np.int64))
        told = read_noisy_sum(self._study, vector, self._clip)
        descent = Descent.from_arrays(self._study, before.state)
        after = descent.next(self._study, self._estimator, told.gradient, told.rows)
        return self._progress(after), told.metrics

    def _progress(self, descent: Descent) -> Progress:
        return Progress(descent.parameters, descent.model(self._study), descent.arrays())


class NoisyAverager:
    """``[privacy.participants]``: the mean of clipped changes, each participant counted once."""

    def __init__(self, study: Study, guarantee: ParticipantGuarantee) -> None:
        self._study, self._clip, self._plan = study, guarantee.clip, plan(study)

    def begin(self) -> Progress:
        """See `Learner`."""
        zeros = initial_parameters(self._study)
        standard = to_standard_units(self._study, zeros)
        return Progress(standard, zeros, {})

    def length(self, purpose: Purpose) -> int:
        """See `Learner`."""
        del purpose
        return self._plan.dimension

    def learn(
        self, purpose: Purpose, before: Progress, total: Words, inputs: int
    ) -> tuple[Progress, Metrics]:
        """See `Learner`."""
        del purpose
        vector = self._plan.from_grid(total.astype(np.int64))
        change, score = read_noisy_updates(self._study, vector, self._clip, inputs)
        after = [old + new for old, new in zip(before.parameters, change, strict=True)]
        progress = Progress(after, to_model_units(self._study, after), {})
        return progress, _score_alone(self._study, score, inputs)


def _score_alone(study: Study, score: float, participants: int) -> Metrics:
    """Metrics whose score is ``score``: of each participant's mean nothing else is told."""
    told = _TELLING * participants  # as if each had so many rows: a score has so many digits
    if study.schema_.is_classification:
        return Metrics(told, float("nan"), correct=round(score * told))
    return Metrics(told, float("nan"), 0, (1.0 - score) * told, 0.0, float(told))


def make_learner(study: Study, known: int) -> Learner:
    """The study's learner for ``known`` participants.

    Raises `TrainingError` for more participants than a study without secure aggregation has room
    for, and `StudyError` where sums could overflow.
    """
    if study.privacy.records is not None:
        return GradientDescent(study, study.privacy.records)
    if study.privacy.participants is not None:
        return NoisyAverager(study, study.privacy.participants)
    if study.privacy.secure_aggregation:
        return Averager(study, known)
    if known > READABLE_ADDENDS:
        raise TrainingError(
            f"{known} participants; without secure aggregation at most {READABLE_ADDENDS}"
        )
    return Averager(study, READABLE_ADDENDS)


__all__ = ["Learner", "Progress", "make_learner"]
