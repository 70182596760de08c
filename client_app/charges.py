"""What the lines of a participant's privacy ledger say.

| event      | fields                                                                            |
|------------|-----------------------------------------------------------------------------------|
| ``limit``  | ``epsilon``, ``delta``, and ``by`` whom: "default" or "operator"                  |
| ``charge`` | ``study``, ``run``, ``round``, ``attempt``, and ``rho`` (zCDP)                    |
| ``reuse``  | the same four, to which the charge of ``from_round``, ``from_attempt`` was moved  |

Numbers that are not whole are written as Python's shortest text that gives the same float.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from blindfit.accounting import epsilon_of
from blindfit.errors import InputError, IntegrityError
from client_app.ledger import Entry

Attempt = int | str
Key = tuple[str, str, int, Attempt]

SLACK = 1.0 + 1e-9  # more than sums of floats lose, and nothing to anybody's privacy
_KEY_FIELDS = ("study", "run", "round", "attempt")


@dataclass(frozen=True)
class Limit:
    """The most that all studies together may tell: (epsilon, delta)."""

    epsilon: float
    delta: float

    def holds(self, epsilon: float) -> bool:
        """Whether ``epsilon``, at this limit's delta, is within it."""
        return epsilon <= self.epsilon * SLACK

    def require_sense(self) -> None:
        """Raises `InputError` for numbers that limit nothing."""
        if not (0 < self.epsilon < math.inf and 0 < self.delta < 1):
            raise InputError(
                f"epsilon = {self.epsilon:g}, delta = {self.delta:g} is no limit",
                hint="epsilon is above 0, and delta between 0 and 1, such as 1e-5",
            )


# A sum that anybody can be told apart in with more than 8 is hardly noisy (e^8 = 3000), and delta
# has to be far below one over the number of rows.
DEFAULT_LIMIT = Limit(epsilon=8.0, delta=1e-5)


@dataclass(frozen=True)
class Charge:
    """A sum that may have been revealed; ``attempt`` is the one that the charge belongs to now."""

    study: str
    run: str
    round: int
    attempt: Attempt
    rho: float
    time: str = ""

    @property
    def key(self) -> Key:
        """What no two charges share."""
        return (self.study, self.run, self.round, self.attempt)


@dataclass(frozen=True)
class StudySpending:
    """What one study was told, for people to read; epsilon is at the delta of the limit."""

    study_digest: str
    runs: int
    charges: int
    rho: float
    epsilon: float
    since: str
    until: str


def limit_event(limit: Limit, *, by: str) -> Entry:
    """The line of a limit."""
    return {
        "event": "limit",
        "epsilon": repr(limit.epsilon),
        "delta": repr(limit.delta),
        "by": by,
    }


def charge_event(charge: Charge) -> Entry:
    """The line of a charge."""
    return {"event": "charge", **_named(charge), "rho": repr(charge.rho)}


def reuse_event(old: Charge, new: Charge) -> Entry:
    """The line that moves ``old`` to another attempt of the same run."""
    return {
        "event": "reuse",
        **_named(new),
        "from_round": old.round,
        "from_attempt": old.attempt,
    }


def limit_in(entries: list[Entry]) -> Limit:
    """The last limit, or the default."""
    limits = [entry for entry in entries if entry.get("event") == "limit"]
    with _reading():
        return _limit(limits[-1]) if limits else DEFAULT_LIMIT


def charges_in(entries: list[Entry]) -> list[Charge]:
    """What was charged, each under the attempt that it was moved to last."""
    with _reading():
        return _charges(entries)


def is_known(entries: list[Entry], charge: Charge) -> bool:
    """Whether its attempt ever had a charge."""
    return any(_key(entry) == charge.key for entry in entries if entry.get("event") != "limit")


def spending_of(charges: list[Charge], delta: float) -> StudySpending:
    """The sum of one study's charges, of which there is at least one."""
    rhos = [charge.rho for charge in charges]
    return StudySpending(
        study_digest=charges[0].study,
        runs=len({charge.run for charge in charges}),
        charges=len(charges),
        rho=math.fsum(rhos),
        epsilon=epsilon_of(rhos, delta),
        since=min(charge.time for charge in charges),
        until=max(charge.time for charge in charges),
    )


def _charges(entries: list[Entry]) -> list[Charge]:
    charges: dict[Key, Charge] = {}
    for entry in entries:
        kind, key = entry["event"], _key(entry)
        if kind == "charge":
            charges[key] = Charge(*key, rho=_positive(entry["rho"]), time=entry["time"])
        elif kind == "reuse":
            old = charges.pop((*key[:2], entry["from_round"], entry["from_attempt"]))
            charges[key] = replace(old, round=key[2], attempt=key[3])
        elif kind != "limit":
            raise ValueError(f"line {entry['number']} is of a kind that is not known")
    return list(charges.values())


def _limit(entry: Entry) -> Limit:
    return Limit(_positive(entry["epsilon"]), _positive(entry["delta"]))


def _named(charge: Charge) -> Entry:
    return dict(zip(_KEY_FIELDS, charge.key, strict=True))


def _key(entry: Entry) -> Key:
    study, run, number, attempt = (entry.get(field) for field in _KEY_FIELDS)
    return study, run, number, attempt  # type: ignore[return-value]


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(f"{text} is not above 0")
    return number


@contextmanager
def _reading() -> Iterator[None]:
    """A line that we did not write, or that a newer version wrote, must not be passed over."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"the privacy ledger cannot be read: {error}",
            hint="use the version of Blindfit that wrote it, or restore it from a backup",
        ) from error


__all__ = [
    "DEFAULT_LIMIT",
    "SLACK",
    "Attempt",
    "Charge",
    "Limit",
    "StudySpending",
    "charge_event",
    "charges_in",
    "is_known",
    "limit_event",
    "limit_in",
    "reuse_event",
    "spending_of",
]
