"""What a study may cost of a participant's own limit, before it takes part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from blindfit.accounting import epsilon_of
from blindfit.study import Study
from client_app.account import Account
from client_app.budget import BudgetError
from client_app.budget_in_words import limit_command, rounded_up
from client_app.charges import Limit
from client_app.study_budget import rho_limit


@dataclass(frozen=True)
class StudyCost:
    """Epsilons at the delta of ``limit``.

    ``spent`` is that of all studies so far, ``spent_here`` of this one, ``at_most`` what this one
    may spend in all its runs together, and ``total`` what all would then have spent.
    """

    dataset: str
    limit: Limit
    spent: float
    spent_here: float
    at_most: float
    total: float

    @property
    def fits(self) -> bool:
        """Whether the limit holds it."""
        return self.limit.holds(self.total)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"fits": self.fits}


def study_cost(study: Study, account: Account) -> StudyCost:
    """What ``study`` would cost; raises `TrainingError` for one that has no guarantee to count.

    A study that is gone on with is charged for the rounds that are left: its guarantee is one for
    all its runs.
    """
    most = rho_limit(study)
    others = [s.rho for s in account.studies if s.study_digest != study.digest]
    here = sum(s.rho for s in account.studies if s.study_digest == study.digest)
    delta = account.limit.delta
    return StudyCost(
        dataset=account.dataset,
        limit=account.limit,
        spent=account.spent,
        spent_here=epsilon_of([here], delta),
        at_most=epsilon_of([most], delta),
        total=epsilon_of([*others, max(most, here)], delta),
    )


def require_room(cost: StudyCost | None) -> None:
    """Raises `BudgetError` for a study that would run into the limit: nobody starts it in vain."""
    if cost is None or cost.fits:
        return
    needed = Limit(float(rounded_up(cost.total)), cost.limit.delta)
    raise BudgetError(
        f"with this study, up to epsilon = {rounded_up(cost.total)} could be told about these rows "
        f"at delta = {cost.limit.delta:g}; this participant's limit is {cost.limit.epsilon:g}; "
        "nothing was sent",
        hint=f"do not take part, or raise the limit: `{limit_command(needed, cost.dataset)}`",
    )


__all__ = ["StudyCost", "require_room", "study_cost"]
