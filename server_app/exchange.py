"""Bounded exchanges with participants over a Flower grid.

Flower's strategies wait for ever for enough nodes, and its ``send_and_receive`` polls every three
seconds; both matter when a round takes one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from blindfit.errors import TrainingError, UpdateError

POLL_SECONDS = 0.2
LOOK_SECONDS = 5.0  # between looks at who is still online
LATECOMER_SECONDS = 10.0  # how long a start with enough participants waits for the others
_GRACE_SECONDS = 5.0  # a question outlives the wait for its answer, so that the reason is ours
Answer = TypeVar("Answer")


@dataclass
class Replies(Generic[Answer]):
    """Readable answers, and why the others are not counted, by node id."""

    answers: dict[int, Answer] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


def wait_for_participants(
    grid: Grid,
    names: dict[int, str],
    needed: int,
    timeout: float,
    report: Callable[[list[str]], None],
    *,
    latecomers: float = 0.0,
) -> list[int]:
    """The nodes that are online, at least ``needed``, of those in ``names``.

    ``report`` gets the names whenever they change. With enough of them, waits ``latecomers`` more
    seconds for the rest. Raises `TrainingError` after ``timeout`` seconds with too few.
    """
    deadline, enough_since = time.monotonic() + timeout, None
    present: list[int] = []
    while True:
        online = sorted(node for node in grid.get_node_ids() if node in names)
        if online != present:
            present = online
            report([names[node] for node in present])
        now = time.monotonic()
        if len(present) >= needed:
            enough_since = enough_since or now
            if len(present) == len(names) or now >= enough_since + latecomers:
                return present
        elif now >= deadline:
            raise _too_few(present, names, needed, timeout)
        time.sleep(POLL_SECONDS)


def _too_few(
    present: list[int], names: dict[int, str], needed: int, timeout: float
) -> TrainingError:
    absent = sorted(name for node, name in names.items() if node not in present)
    return TrainingError(
        f"after {timeout:g} s, {len(present)} of at least {needed} participants are there"
        + (f"; absent: {', '.join(absent[:10])}" if absent else ""),
        hint="check `blindfit-client join` at the absent ones, or that they were registered",
    )


@dataclass(frozen=True)
class Ask:
    """A message: its type, such as ``train.masked``, and its content."""

    kind: str
    content: RecordDict


def ask(
    grid: Grid,
    asks: Mapping[int, Ask],
    read: Callable[[int, RecordDict], Answer],
    *,
    timeout: float,
    group: str = "",
) -> Replies[Answer]:
    """Send each node its message, and collect the replies.

    ``read`` turns a node's reply into an answer, or raises `UpdateError`, which refuses it. A node
    that answers an error, goes offline, or answers nothing in time, is refused with the reason.
    """
    messages = [
        Message(one.content, node, one.kind, ttl=timeout + _GRACE_SECONDS, group_id=group)
        for node, one in asks.items()
    ]
    waiting = dict(zip(grid.push_messages(messages), asks, strict=True))
    replies: Replies[Answer] = Replies()
    started = looked = time.monotonic()
    while waiting:
        for reply in grid.pull_messages(list(waiting)):
            node = waiting.pop(reply.metadata.reply_to_message_id, None)
            if node is not None:
                _sort(reply, node, read, replies)
        now = time.monotonic()
        if now - started >= timeout:
            break
        if now - looked >= LOOK_SECONDS:
            _give_up_offline(grid, waiting, replies)
            looked = now
        time.sleep(POLL_SECONDS if waiting else 0)
    for node in waiting.values():
        replies.refused[node] = f"no answer within {timeout:g} s"
    return replies


def _give_up_offline(grid: Grid, waiting: dict[str, int], replies: Replies[Answer]) -> None:
    online = set(grid.get_node_ids())
    for key, node in list(waiting.items()):
        if node not in online:
            del waiting[key]
            replies.refused[node] = "it went offline"


def _sort(
    reply: Message,
    node: int,
    read: Callable[[int, RecordDict], Answer],
    replies: Replies[Answer],
) -> None:
    if reply.has_error():
        replies.refused[node] = str(reply.error.reason or "failed without a reason")[:300]
        return
    try:
        replies.answers[node] = read(node, reply.content)
    except UpdateError as error:
        replies.refused[node] = str(error)
