"""One sum over the participants that are there: masked, or readable where the study says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import RecordDict
from flwr.serverapp import Grid

from blindfit.errors import TrainingError
from blindfit.estimators import Parameters
from blindfit.federation_messages import Purpose, read_words, write_instruction
from blindfit.secagg import messages
from blindfit.secagg.group import Group
from blindfit.secagg.masks import Words
from blindfit.secagg.round_id import RoundId
from server_app.exchange import Replies, ask
from server_app.secure_sum import SecureSum

_STAGE_SECONDS = 60.0  # for a stage without training: keys, shares, signatures


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


def readable_sum(grid: Grid, question: Question, nodes: list[int], needed: int) -> Summed:
    """The sum of inputs that the coordinator can read; raises `TrainingError` for too few."""
    content = question.content(with_parameters=True)
    replies = _ask(
        grid,
        question,
        "train.readable",
        dict.fromkeys(nodes, content),
        lambda node, reply: read_words(reply, question.length),
        question.timeout,
    )
    if len(replies.answers) < needed:
        raise TooFewError("sent a usable update", len(replies.answers), needed, replies.refused)
    total = np.zeros(question.length, np.uint64)
    for words in replies.answers.values():
        total += words
    return Summed(total, list(replies.answers), replies.refused)


class TooFewError(TrainingError):
    """A stage of a round that too few participants survived; ``refused`` by node."""

    def __init__(self, what: str, count: int, needed: int, refused: dict[int, str]) -> None:
        super().__init__(f"{count} participants {what}; {needed} are needed")
        self.refused = refused


def secure_sum(grid: Grid, question: Question, group: Group, nodes: Mapping[int, int]) -> Summed:
    """The sum of masked inputs; ``nodes`` are node ids and their indices in the roster.

    Raises `TooFewError` when fewer than the threshold survive a stage, and `TrainingError`; either
    way nothing was learned of anybody.
    """
    return _SecureRound(grid, question, group, nodes).run()


class _SecureRound:
    def __init__(
        self, grid: Grid, question: Question, group: Group, nodes: Mapping[int, int]
    ) -> None:
        self._grid, self._question, self._group = grid, question, group
        self._index = dict(nodes)
        self._sum = SecureSum(question.round_id, group, question.length)
        self._refused: dict[int, str] = {}

    def run(self) -> Summed:
        """Every stage asks those that answered the one before."""
        nodes = self._advertise(list(self._index))
        nodes = self._share(nodes)
        summed = self._contribute(nodes)
        nodes = self._confirm(summed)
        self._reveal(nodes)
        return Summed(self._sum.total(), summed, self._refused)

    def _advertise(self, nodes: list[int]) -> list[int]:
        def content(_index: int) -> RecordDict:
            return messages.write_roster(self._question.content(), self._group.roster)

        def take(index: int, reply: RecordDict) -> None:
            keys: Any = messages.read_only(messages.read_advertisements(reply))
            self._sum.advertised(index, keys)

        return self._stage("query.advertise", "advertised keys", nodes, content, take)

    def _share(self, nodes: list[int]) -> list[int]:
        def content(index: int) -> RecordDict:
            keys = self._sum.keys_for(index)
            return messages.write_advertisements(self._question.content(), keys)

        def take(index: int, reply: RecordDict) -> None:
            self._sum.shared(index, messages.read_envelopes(reply))

        return self._stage("query.share", "shared their secrets", nodes, content, take)

    def _contribute(self, nodes: list[int]) -> list[int]:
        def content(index: int) -> RecordDict:
            content = self._question.content(with_parameters=True)
            return messages.write_envelopes(content, self._sum.envelopes_for(index))

        def take(index: int, reply: RecordDict) -> None:
            self._sum.masked(index, read_words(reply, self._question.length))

        timeout = self._question.timeout
        return self._stage("train.masked", "sent an input", nodes, content, take, timeout)

    def _confirm(self, nodes: list[int]) -> list[int]:
        survivors = self._sum.survivors

        def content(_index: int) -> RecordDict:
            return messages.write_survivors(self._question.content(), survivors)

        def take(index: int, reply: RecordDict) -> None:
            signature: Any = messages.read_only(messages.read_signatures(reply))
            self._sum.confirmed(index, signature)

        return self._stage("query.confirm", "confirmed the survivors", nodes, content, take)

    def _reveal(self, nodes: list[int]) -> list[int]:
        def content(index: int) -> RecordDict:
            signatures = self._sum.signatures_for(index)
            return messages.write_signatures(self._question.content(), signatures)

        def take(index: int, reply: RecordDict) -> None:
            self._sum.revealed(index, *messages.read_revealed(reply))

        return self._stage("query.reveal", "revealed their shares", nodes, content, take)

    def _stage(
        self,
        kind: str,
        what: str,
        nodes: list[int],
        content: Callable[[int], RecordDict],
        take: Callable[[int, RecordDict], None],
        timeout: float | None = None,
    ) -> list[int]:
        """Ask ``nodes``; returns those whose answers count."""
        contents = {node: content(self._index[node]) for node in nodes}
        if timeout is None:
            timeout = min(_STAGE_SECONDS, self._question.timeout)
        replies = _ask(
            self._grid,
            self._question,
            kind,
            contents,
            lambda node, reply: take(self._index[node], reply),
            timeout,
        )
        self._refused |= replies.refused
        if len(replies.answers) < self._group.threshold:
            raise TooFewError(what, len(replies.answers), self._group.threshold, self._refused)
        return list(replies.answers)


def _ask(
    grid: Grid,
    question: Question,
    kind: str,
    contents: Mapping[int, RecordDict],
    read: Callable[[int, RecordDict], Any],
    timeout: float,
) -> Replies[Any]:
    group = str(question.round_id.round)
    return ask(grid, kind, contents, read, timeout=timeout, group=group)


__all__ = ["Question", "Summed", "TooFewError", "readable_sum", "secure_sum"]
