"""What a round asks and gets; and the readable sum, where a study turned secure aggregation off."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from flwr.app import RecordDict
from flwr.serverapp import Grid

from blindfit.errors import TooFewError
from blindfit.estimators import Parameters, flatten
from blindfit.federation_messages import (
    Purpose,
    binding_of,
    read_words,
    write_instruction,
)
from blindfit.secagg.masks import Words
from blindfit.secagg.round_id import RoundId
from server_app.exchange import Ask, ask


@dataclass
class Summed:
    """The sum (length,), the nodes whose inputs are in it, and why others are not."""

    words: Words
    nodes: list[int]
    refused: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What a round asks: ``length`` words for the model with ``parameters``."""

    round_id: RoundId
    purpose: Purpose
    parameters: Parameters
    length: int
    timeout: float  # seconds, for the training itself

    def content(self, *, with_parameters: bool = False) -> RecordDict:
        """The beginning of every message of the round."""
        parameters = self.parameters if with_parameters else None
        return write_instruction(self.round_id, self.purpose, parameters)

    @property
    def binding(self) -> bytes:
        """What stands for the question in everybody's masks."""
        return binding_of(self.purpose, flatten(self.parameters))

    @staticmethod
    def setup(round_id: RoundId) -> RecordDict:
        """The beginning of a message about keys: what they are for is said with the input."""
        return write_instruction(round_id, "fit")


def too_few(what: str, count: int, needed: int, refused: dict[int, str]) -> TooFewError:
    """The error for a stage that ``count`` participants survived; ``refused`` by node."""
    error = TooFewError(f"{count} participants {what}; {needed} are needed")
    error.refused = refused
    return error


def readable_sum(grid: Grid, question: Question, nodes: list[int], needed: int) -> Summed:
    """The sum of inputs that the coordinator can read; raises `TooFewError`."""
    content = question.content(with_parameters=True)
    replies = ask(
        grid,
        dict.fromkeys(nodes, Ask("train.readable", content)),
        lambda node, reply: read_words(reply, question.length),
        timeout=question.timeout,
        group=str(question.round_id.round),
    )
    if len(replies.answers) < needed:
        raise too_few("sent a usable update", len(replies.answers), needed, replies.refused)
    total = np.zeros(question.length, np.uint64)
    for words in replies.answers.values():
        total += words
    return Summed(total, list(replies.answers), replies.refused)


__all__ = ["Question", "Summed", "readable_sum", "too_few"]
