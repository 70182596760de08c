"""A privacy account as a person reads it: what it allows, what is spent, what is left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from blindfit.accounting import epsilon_of, rho_of
from client_app.budget import Budget
from client_app.charges import Limit, StudySpending
from client_app.data_sets import DEFAULT_DATASET


@dataclass(frozen=True)
class Account:
    """Epsilons are at the delta of ``limit``.

    ``left`` is the most that one more study may have. With ``spent`` it makes more than the limit:
    epsilons of several studies add up to less than their plain sum.
    """

    dataset: str
    limit: Limit
    spent: float
    left: float
    studies: list[StudySpending]

    @classmethod
    def read(cls, home: Path, dataset: str = DEFAULT_DATASET) -> Account:
        """The account of a data set; raises what `Budget` raises."""
        budget = Budget.open(home, dataset)
        limit, studies = budget.limit, budget.studies()
        rho = math.fsum(study.rho for study in studies)
        return cls(
            dataset=dataset,
            limit=limit,
            spent=epsilon_of([rho], limit.delta),
            left=epsilon_of([max(0.0, rho_of(limit.epsilon, limit.delta) - rho)], limit.delta),
            studies=studies,
        )


__all__ = ["Account"]
