"""The secure sums of one training, one after the other, over a Flower grid.

Messages are what costs, so a round has two: while a round's inputs are asked for, everybody also
sends keys for the next one, and while it is unmasked, shares for the next one. Only the first
round, and one after a failure, begins with messages for keys and shares of its own. Who comes later
gets in by the same way: its keys and shares are asked for beside the others' inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from flwr.app import RecordDict
from flwr.serverapp import Grid

from blindfit.errors import TrainingError
from blindfit.federation_messages import read_words, write_next
from blindfit.secagg import messages
from blindfit.secagg.group import Group
from blindfit.secagg.round_id import RoundId
from server_app.exchange import Ask, Replies, ask
from server_app.secure_sum import SecureSum
from server_app.sums import Question, Summed, too_few

STAGE_SECONDS = 60.0  # for a stage without training: keys, shares, signatures
Tell = Callable[[str], None]


class SecureSums:
    """Sums over ``group``; ``new_round`` gives numbers that are used up, ``nodes`` node ids.

    ``nodes`` maps the index of a participant to its node's id; ``tell`` gets each stage's name.
    """

    def __init__(
        self,
        grid: Grid,
        group: Group,
        nodes: Mapping[int, int],
        new_round: Callable[[], RoundId],
        tell: Tell,
    ) -> None:
        self._grid, self.group, self._nodes, self.new_round = grid, group, nodes, new_round
        self._index = {node: index for index, node in nodes.items()}
        self._tell = tell
        self._ready: SecureSum | None = None

    def begin(self, online: Collection[int], timeout: float) -> RoundId:
        """The next round, for which enough of the ``online`` participants have shared secrets.

        Raises `TooFewError` when fewer than the threshold did.
        """
        ready = self._ready
        if ready is None or len(ready.members & set(online)) < self.group.threshold:
            ready = self._ready = _prepared(self, online, timeout)
        return ready.round_id

    def sum(self, question: Question, online: Collection[int], *, last: bool) -> Summed:
        """The sum for the round that was begun; with ``last``, no other will follow.

        Raises `TooFewError` when fewer than the threshold survive a stage, and `TrainingError`;
        either way nothing was learned of anybody, and the next round begins afresh.
        """
        current, self._ready = self._ready, None
        if current is None or current.round_id != question.round_id:
            raise TrainingError("a round that was not begun")
        following = None if last else SecureSum(self.new_round(), self.group)
        summed = _Round(self, question, current, following).run(online)
        if following is not None and len(following.members) >= self.group.threshold:
            self._ready = following
        return summed

    # -- for the rounds -----------------------------------------------------------------------

    def exchange(
        self,
        round_id: RoundId,
        stage: str,
        asks: Mapping[int, Ask],
        take: Callable[[int, RecordDict], None],
        timeout: float,
    ) -> Replies[Any]:
        """Ask participants, by index; the replies are by index, too."""
        self._tell(stage)
        replies = ask(
            self._grid,
            {self._nodes[index]: one for index, one in asks.items()},
            lambda node, reply: take(self._index[node], reply),
            timeout=timeout,
            group=str(round_id.round),
        )
        return Replies(
            {self._index[node]: answer for node, answer in replies.answers.items()},
            {self._index[node]: why for node, why in replies.refused.items()},
        )

    def require(self, what: str, count: int, refused: Mapping[int, str]) -> None:
        """Raises `TooFewError` for a ``count`` below the threshold."""
        if count < self.group.threshold:
            by_node = {self._nodes[index]: why for index, why in refused.items()}
            raise too_few(what, count, self.group.threshold, by_node)

    def summed(self, words: Any, survivors: Collection[int], refused: Mapping[int, str]) -> Summed:
        """The result by node ids."""
        return Summed(
            words,
            [self._nodes[index] for index in sorted(survivors)],
            {self._nodes[index]: why for index, why in refused.items()},
        )


def _prepared(sums: SecureSums, online: Collection[int], timeout: float) -> SecureSum:
    """A round with keys and shares, by two stages of its own."""
    sum_ = SecureSum(sums.new_round(), sums.group)
    timeout = min(timeout, STAGE_SECONDS)
    refused: dict[int, str] = {}
    replies = sums.exchange(
        sum_.round_id,
        "keys",
        {index: _advertise(sum_, sums.group) for index in online},
        lambda index, reply: _take_keys(sum_, index, reply),
        timeout,
    )
    refused |= replies.refused
    sums.require("advertised keys", len(replies.answers), refused)
    replies = sums.exchange(
        sum_.round_id,
        "shares",
        {index: _share(sum_, index) for index in replies.answers},
        lambda index, reply: sum_.shared(index, messages.read_envelopes(reply)),
        timeout,
    )
    refused |= replies.refused
    sums.require("shared their secrets", len(replies.answers), refused)
    return sum_


def _advertise(sum_: SecureSum, group: Group) -> Ask:
    content = Question.setup(sum_.round_id)
    return Ask("query.advertise", messages.write_roster(content, group.roster))


def _share(sum_: SecureSum, index: int) -> Ask:
    content = Question.setup(sum_.round_id)
    return Ask("query.share", messages.write_advertisements(content, sum_.keys_for(index)))


def _take_keys(sum_: SecureSum, index: int, reply: RecordDict) -> None:
    keys: Any = messages.read_only(messages.read_advertisements(reply))
    sum_.advertised(index, keys)


class _Round:
    """One sum, and the keys and shares of the next."""

    def __init__(
        self, sums: SecureSums, question: Question, current: SecureSum, following: SecureSum | None
    ) -> None:
        self._sums, self._question = sums, question
        self._current, self._following = current, following
        self._refused: dict[int, str] = {}

    def run(self, online: Collection[int]) -> Summed:
        """Every stage asks those that answered the one before."""
        self._contribute(online)
        survivors = self._current.survivors
        self._sums.require("sent an input", len(survivors), self._refused)
        left = self._confirm(survivors) if self._current.needs_confirmation else survivors
        self._reveal(left)
        return self._sums.summed(self._current.total(), survivors, self._refused)

    def _contribute(self, online: Collection[int]) -> None:
        current, following = self._current, self._following
        current.asking(self._question.binding)
        asks = {index: self._input(index) for index in current.members & set(online)}
        if following is not None:
            newcomers = set(online) - current.members
            asks |= {index: _advertise(following, self._sums.group) for index in newcomers}
        gone = current.members - set(online)
        self._refused |= dict.fromkeys(gone, "it went offline")

        def take(index: int, reply: RecordDict) -> None:
            if index in current.members:
                current.masked(index, read_words(reply, self._question.length))
            if following is not None:
                _take_keys(following, index, reply)

        self._exchange("inputs", asks, take, self._question.timeout)

    def _input(self, index: int) -> Ask:
        content = self._question.content(with_parameters=True)
        messages.write_envelopes(content, self._current.envelopes_for(index))
        if self._following is not None:
            write_next(content, self._following.round_id.round)
        return Ask("train.masked", content)

    def _confirm(self, survivors: frozenset[int]) -> Collection[int]:
        current = self._current

        def take(index: int, reply: RecordDict) -> None:
            signature: Any = messages.read_only(messages.read_signatures(reply))
            current.confirmed(index, signature)

        content = messages.write_survivors(self._question.content(), survivors)
        asks = {index: Ask("query.confirm", content) for index in survivors}
        replies = self._exchange("survivors", asks, take, self._stage_seconds)
        self._sums.require("confirmed the survivors", len(replies.answers), self._refused)
        return list(replies.answers)

    def _reveal(self, left: Collection[int]) -> None:
        current, following = self._current, self._following
        asks = {index: self._unmasking(index) for index in left}
        if following is not None:
            newcomers = following.advertisers - current.survivors
            asks |= {index: _share(following, index) for index in newcomers}

        def take(index: int, reply: RecordDict) -> None:
            if index in current.survivors:
                current.revealed(index, *messages.read_revealed(reply))
            if following is not None and index in following.advertisers:
                following.shared(index, messages.read_envelopes(reply))

        replies = self._exchange("unmasking", asks, take, self._stage_seconds)
        revealed = len(set(replies.answers) & current.survivors)
        self._sums.require("revealed their shares", revealed, self._refused)

    def _unmasking(self, index: int) -> Ask:
        content = self._question.content()
        messages.write_signatures(content, self._current.signatures_for(index))
        following = self._following
        if following is not None and index in following.advertisers:
            write_next(content, following.round_id.round)
            messages.write_advertisements(content, following.keys_for(index))
        return Ask("query.reveal", content)

    @property
    def _stage_seconds(self) -> float:
        return min(STAGE_SECONDS, self._question.timeout)

    def _exchange(
        self,
        stage: str,
        asks: Mapping[int, Ask],
        take: Callable[[int, RecordDict], None],
        timeout: float,
    ) -> Replies[Any]:
        replies = self._sums.exchange(self._question.round_id, stage, asks, take, timeout)
        self._refused |= replies.refused
        return replies


__all__ = ["STAGE_SECONDS", "SecureSums"]
