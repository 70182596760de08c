"""What a participant has told about its rows, and how much more it will: its own account.

A coordinator may ask for as many rounds of as many studies as it likes; what they tell together is
bounded here, on the participant's own disk. All studies of a home are taken to train on the same
rows. Whoever has several data sets that have no person in common may name them: each has an account
of its own.

A charge is on disk before `Budget.charge` returns, and only then may anything be sent. A crash
before that leaves no charge and nothing sent; a crash after it leaves a charge for what may not
have been sent, which is the safe side. No attempt is charged twice: after a crash nobody knows
whether its sum went out, and a second one with other noise would tell more than was paid for.

Charges are in zCDP, which simply adds up. One for a participant's whole data set covers each of its
rows too, so both kinds of guarantee are added in one account.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from blindfit.accounting import epsilon_of
from blindfit.errors import BudgetError
from client_app.charges import (
    SLACK,
    Attempt,
    Charge,
    Limit,
    StudySpending,
    charge_event,
    charges_in,
    is_known,
    limit_event,
    limit_in,
    reuse_event,
    spending_of,
)
from client_app.data_sets import DEFAULT_DATASET, account_folder
from client_app.ledger import Entry, Ledger

_LONGEST_NAME = 200


class Budget:
    """The account of one data set. Several processes may use it at once.

    Every method raises `IntegrityError` when the account is not as it was left.
    """

    def __init__(self, folder: Path):
        self._ledger = Ledger(folder)

    @classmethod
    def open(cls, home: Path, dataset: str = DEFAULT_DATASET) -> Budget:
        """The account of one of the data sets of ``home``; nothing is written yet.

        Raises `InputError` for a name that cannot be a data set's.
        """
        return cls(account_folder(home, dataset))

    @property
    def limit(self) -> Limit:
        """What the operator set last, or the default."""
        return limit_in(self._ledger.entries())

    def set_limit(self, limit: Limit) -> None:
        """Allow as much as ``limit`` from now on; what was spent already counts towards it.

        Raises `InputError` for numbers that limit nothing.
        """
        limit.require_sense()
        with self._ledger.changing():
            self._ledger.append([limit_event(limit, by="operator")])

    def charge(
        self,
        study_digest: str,
        run: str,
        round: int,
        attempt: Attempt,
        rho: float,
        study_limit_rho: float,
    ) -> None:
        """Spend ``rho`` (zCDP) for the sum of one attempt; it is on disk when this returns.

        ``study_limit_rho`` is what the study may spend in all its runs together: its guarantee is
        one for the study. Raises `BudgetError`, and spends nothing, when the study's limit or that
        of all studies would be exceeded, or when the attempt was charged before.
        """
        if not (0 < rho < math.inf and 0 < study_limit_rho < math.inf):
            raise BudgetError(f"rho = {rho:g} of {study_limit_rho:g} cannot be accounted for")
        new = Charge(study_digest, run, round, attempt, rho)
        with self._ledger.changing() as entries:
            _require_new(entries, new)
            charges = charges_in(entries)
            _require_within_study(charges, new, study_limit_rho)
            _require_within_limit(charges, new, limit_in(entries))
            self._append(entries, charge_event(new))

    def reuse(
        self,
        study_digest: str,
        run: str,
        round: int,
        old_attempt: Attempt,
        new_attempt: Attempt,
        *,
        new_round: int | None = None,
    ) -> None:
        """Move the charge of an abandoned attempt, of which nothing was revealed, to a new one.

        The caller answers for that: every member of the old attempt has signed it. ``new_round`` is
        for those who number attempts by rounds. Raises `BudgetError` when the old attempt has no
        charge, or none any more, or when the new one had one.
        """
        with self._ledger.changing() as entries:
            wanted = (study_digest, run, round, old_attempt)
            old = next((c for c in charges_in(entries) if c.key == wanted), None)
            if old is None:
                raise BudgetError(
                    f"round {round}: attempt {old_attempt} has no charge that could be moved"
                )
            new = replace(old, round=round if new_round is None else new_round, attempt=new_attempt)
            _require_new(entries, new)
            self._append(entries, reuse_event(old, new))

    def spent(self) -> float:
        """The epsilon, at the limit's delta, of everything that was charged."""
        entries = self._ledger.entries()
        return epsilon_of((c.rho for c in charges_in(entries)), limit_in(entries).delta)

    def studies(self) -> list[StudySpending]:
        """What each study was told, in the order in which they began."""
        entries = self._ledger.entries()
        charges, delta = charges_in(entries), limit_in(entries).delta
        digests = dict.fromkeys(charge.study for charge in charges)
        return [spending_of([c for c in charges if c.study == digest], delta) for digest in digests]

    def _append(self, entries: list[Entry], event: Entry) -> None:
        # The first line says which limit holds, so that it stays whatever the default becomes.
        first = [] if entries else [limit_event(limit_in(entries), by="default")]
        self._ledger.append([*first, event])


def _require_new(entries: list[Entry], new: Charge) -> None:
    if max(len(str(part)) for part in new.key) > _LONGEST_NAME:
        raise BudgetError("the coordinator's names are too long to be kept")
    if is_known(entries, new):
        raise BudgetError(
            f"round {new.round}: attempt {new.attempt} was charged before, and may have been sent"
        )


def _require_within_study(charges: list[Charge], new: Charge, limit: float) -> None:
    spent = math.fsum(charge.rho for charge in charges if charge.study == new.study)
    if spent + new.rho > limit * SLACK:
        raise BudgetError(
            f"study {new.study[:12]}: round {new.round} would exceed the study's own guarantee",
            hint="its rounds are spent, also by attempts that failed and by earlier runs: train "
            "under a new study, with another name",
        )


def _require_within_limit(charges: list[Charge], new: Charge, limit: Limit) -> None:
    epsilon = epsilon_of([*(charge.rho for charge in charges), new.rho], limit.delta)
    if not limit.holds(epsilon):
        raise BudgetError(
            f"round {new.round}: all studies together would reach epsilon = {epsilon:.3g} at delta "
            f"= {limit.delta:g}; this participant's limit is {limit.epsilon:g}",
            hint="the rows may not be told more about, unless this participant's operator raises "
            "the limit",
        )


__all__ = ["Budget", "BudgetError", "Limit", "StudySpending"]
