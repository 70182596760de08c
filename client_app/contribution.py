"""What a participant adds to a round, by the kind of training: pure functions on arrays."""

from __future__ import annotations

from typing import Protocol

from blindfit.averaging import Averaging
from blindfit.dataset import Dataset
from blindfit.errors import ProtocolError
from blindfit.estimators import Parameters
from blindfit.federation_messages import Purpose
from blindfit.metrics import Metrics
from blindfit.noise_plan import NoisePlan, plan
from blindfit.privacy import ParticipantGuarantee, RecordGuarantee
from blindfit.secagg.masks import Words
from blindfit.standard_units import to_model_units, to_standard_units
from blindfit.study import Study
from blindfit.sum_layout import Floats
from client_app.clipped_update import clipped_update
from client_app.row_gradients import clipped_sum
from client_app.training import evaluate_local, fit_local


class Contribution(Protocol):
    """Makes a participant's input to a sum; ``rho`` (zCDP) is what one costs of the budget."""

    @property
    def rho(self) -> float:
        """0 for a training without differential privacy."""

    def words(
        self, purpose: Purpose, parameters: Parameters, data: Dataset, round_number: int
    ) -> tuple[Words, Metrics]:
        """The input, and how the incoming model does on the participant's own rows.

        The metrics stay here. Raises `TrainingError`.
        """


class AveragedFit:
    """Federated averaging: the parameters of a local fit, weighted by rows."""

    rho = 0.0

    def __init__(self, study: Study, addends: int) -> None:
        self._study, self._averaging = study, Averaging(study, addends)

    def words(
        self, purpose: Purpose, parameters: Parameters, data: Dataset, round_number: int
    ) -> tuple[Words, Metrics]:
        """See `Contribution`."""
        metrics = evaluate_local(self._study, parameters, data.X, data.y)
        update = None
        if purpose == "fit":
            update = fit_local(self._study, parameters, data.X, data.y, seed=round_number)
        return self._averaging.encode(metrics, update), metrics


class NoisyGradient:
    """``[privacy.records]``: clipped gradients of the rows with this participant's noise."""

    def __init__(self, study: Study, guarantee: RecordGuarantee) -> None:
        self._study, self._clip, self._plan = study, guarantee.clip, plan(study)
        self.rho = self._plan.rho_per_round

    def words(
        self, purpose: Purpose, parameters: Parameters, data: Dataset, round_number: int
    ) -> tuple[Words, Metrics]:
        """See `Contribution`; the parameters are standardised."""
        del round_number
        _require_fit(purpose)
        vector = clipped_sum(self._study, parameters, data.X, data.y, self._clip)
        model = to_model_units(self._study, parameters)
        return _noisy(self._plan, vector), evaluate_local(self._study, model, data.X, data.y)


class NoisyUpdate:
    """``[privacy.participants]``: the clipped change of a local fit with this one's noise."""

    def __init__(self, study: Study, guarantee: ParticipantGuarantee) -> None:
        self._study, self._clip, self._plan = study, guarantee.clip, plan(study)
        self.rho = self._plan.rho_per_round

    def words(
        self, purpose: Purpose, parameters: Parameters, data: Dataset, round_number: int
    ) -> tuple[Words, Metrics]:
        """See `Contribution`; the parameters are standardised."""
        _require_fit(purpose)
        before = to_model_units(self._study, parameters)
        metrics = evaluate_local(self._study, before, data.X, data.y)
        after = fit_local(self._study, before, data.X, data.y, seed=round_number)
        standard = to_standard_units(self._study, after)
        score = metrics.score(self._study)
        vector = clipped_update(self._study, parameters, standard, score, self._clip)
        return _noisy(self._plan, vector), metrics


def make_contribution(study: Study, addends: int) -> Contribution:
    """The study's way to contribute, to sums over so many known participants."""
    if study.privacy.records is not None:
        return NoisyGradient(study, study.privacy.records)
    if study.privacy.participants is not None:
        return NoisyUpdate(study, study.privacy.participants)
    return AveragedFit(study, addends)


def _noisy(noise: NoisePlan, vector: Floats) -> Words:
    return (noise.to_grid(vector) + noise.share()).astype("uint64")


def _require_fit(purpose: Purpose) -> None:
    if purpose != "fit":
        # Its sums have no noise, and are in nobody's account.
        raise ProtocolError("the coordinator asked for an evaluation, which this study forbids")


__all__ = ["AveragedFit", "Contribution", "NoisyGradient", "NoisyUpdate", "make_contribution"]
