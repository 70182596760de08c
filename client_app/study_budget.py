"""The privacy account as a participant of a training uses it: by study and round.

A round that failed has used up its number (`RoundId`), so a number is an attempt.
"""

from __future__ import annotations

from blindfit.accounting import rho_of
from blindfit.errors import TrainingError
from blindfit.secagg.round_id import RoundId
from blindfit.study import Study
from client_app.budget import Budget, BudgetError


def rho_limit(study: Study) -> float:
    """What a study may spend in all its runs together (zCDP): its guarantee is one for the study.

    Raises `TrainingError` for one without a guarantee.
    """
    guarantee = study.privacy.guarantee
    if guarantee is None:
        raise TrainingError("a study without a guarantee has nothing that could be charged")
    return rho_of(guarantee.epsilon, guarantee.delta)


class StudyBudget:
    """`client_app.participant.Ledger`, kept in a `Budget`."""

    def __init__(self, budget: Budget):
        self._budget = budget

    def charge(self, study: Study, round_id: RoundId, rho: float) -> None:
        """Book one input; it is on disk when this returns. Raises `BudgetError` at a limit."""
        number = round_id.round
        self._budget.charge(round_id.study, round_id.run, number, number, rho, rho_limit(study))

    def reuse(self, study: Study, abandoned: RoundId, round_id: RoundId) -> bool:
        """Take the charge of a round that can never be unmasked; False if there is none."""
        if (abandoned.study, abandoned.run) != (study.digest, round_id.run):
            return False
        old, new = abandoned.round, round_id.round
        try:
            self._budget.reuse(study.digest, round_id.run, old, old, new, new_round=new)
        except BudgetError:
            return False
        return True


__all__ = ["StudyBudget", "rho_limit"]
