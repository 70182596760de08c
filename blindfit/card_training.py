"""The record of a training in a manifest, read with care: it may hold anything."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from blindfit.card_text import number, seconds

_MOST_ROUNDS = 100_000
_LARGEST = 1e15  # beyond, a number is no measurement, and no axis shows it


def _measured(value: Any) -> Any:
    known = isinstance(value, int | float) and abs(value) <= _LARGEST
    return value if known else None


Measured = Annotated[float | None, BeforeValidator(_measured)]
Count = Annotated[int, Field(ge=0, le=10**15)]


class Round(BaseModel):
    """A round; what is None was not measured."""

    model_config = ConfigDict(frozen=True)

    round: Count
    participants: Count | None = None
    refused: Count | None = None
    rows: Measured = None  # with noise, no whole number
    seconds: Measured = None
    loss: Measured = None
    accuracy: Measured = None
    r2: Measured = None


class Training(BaseModel):
    """The whole training: how, with how many, and its rounds."""

    model_config = ConfigDict(frozen=True)

    algorithm: str | None = None
    participants: Count | None = None
    known_participants: Count | None = None
    rows: Measured = None
    rounds: Count | None = None
    kept_round: Count | None = None
    imported: bool = False
    history: tuple[Round, ...] = Field(default=(), max_length=_MOST_ROUNDS)

    @property
    def seconds(self) -> float | None:
        """All rounds together; None where one was not measured."""
        known = [line.seconds for line in self.history if line.seconds is not None]
        return sum(known) if known and len(known) == len(self.history) else None

    def shown(self, most: int = 20) -> list[Round]:
        """At most ``most`` rounds, evenly spaced, the first and the last among them."""
        count = len(self.history)
        if count <= most:
            return list(self.history)
        return [self.history[index * (count - 1) // (most - 1)] for index in range(most)]


def read_training(record: dict[str, Any]) -> Training | None:
    """The training in a manifest's record; None for one that this version cannot read."""
    try:
        return Training.model_validate(record)
    except ValidationError:
        return None


def training_facts(training: Training) -> list[tuple[str, str]]:
    """The totals."""
    if training.imported:
        return [("Trained", "elsewhere; the model was imported")]
    facts = [] if training.algorithm is None else [("Algorithm", training.algorithm)]
    totals = {
        "Participants admitted": training.known_participants,
        "Participants in a round, at most": training.participants,
        "Rows": training.rows,
        "Rounds": training.rounds,
        "Model kept": training.kept_round and f"of round {training.kept_round:,}",
    }
    for label, total in totals.items():
        if total is not None:
            facts.append((label, total if isinstance(total, str) else number(total)))
    refused = sum(line.refused or 0 for line in training.history)
    if training.history:
        facts.append(("Updates refused", number(refused)))
    if training.seconds is not None:
        facts.append(("Time of all rounds", seconds(training.seconds)))
    return facts


__all__ = ["Round", "Training", "read_training", "training_facts"]
