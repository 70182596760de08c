"""What a participant adds to a round, by the kind of training: pure functions on arrays."""

from __future__ import annotations

from typing import Any, Protocol

from blindfit.averaging import Averaging
from blindfit.dataset import Dataset
from blindfit.estimators import Parameters
from blindfit.federation_messages import Purpose
from blindfit.metrics import Metrics
from blindfit.secagg.masks import Words
from blindfit.study import Study
from client_app.training import evaluate_local, fit_local


class Contribution(Protocol):
    """Makes a participant's input to a sum; ``rho`` is what an input costs of the budget."""

    rho: float

    def words(
        self, purpose: Purpose, parameters: Parameters, data: Dataset, round_number: int
    ) -> tuple[Words, Metrics]:
        """The input, and how the incoming model does on the participant's own rows."""


class AveragedFit:
    """Federated averaging: the parameters of a local fit, weighted by rows."""

    rho = 0.0

    def __init__(self, study: Study, participants: int) -> None:
        self._study, self._averaging = study, Averaging(study, participants)

    def words(
        self, purpose: Purpose, parameters: Parameters, data: Dataset, round_number: int
    ) -> tuple[Words, Metrics]:
        """See `Contribution`."""
        metrics = evaluate_local(self._study, parameters, data.X, data.y)
        update = None
        if purpose == "fit":
            update = fit_local(self._study, parameters, data.X, data.y, seed=round_number)
        return self._averaging.encode(metrics, update), metrics


def make_contribution(study: Study, participants: int) -> Any:
    """The study's way to contribute, for so many known participants."""
    return AveragedFit(study, participants)


__all__ = ["AveragedFit", "Contribution", "make_contribution"]
