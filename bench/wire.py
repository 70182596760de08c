"""How many bytes a training puts on the wire, as Flower 1.41 serialises its messages.

A message is sent as a tree of objects that are named by their hashes. What HTTP and TLS add, and
the heartbeats of idle nodes, are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)

from bench.federation import Joined
from server_app.in_process import InProcessGrid


def wire_bytes(sent: Message | RecordDict) -> int:
    """The bytes of all objects of a message, or of its content, and of the tree of their names."""
    tree: InflatableObject = sent
    with no_object_id_recompute():
        objects = get_all_nested_objects(tree).values()
        return sum(len(item.deflate()) for item in objects) + int(get_object_tree(tree).ByteSize())


class CountingGrid(InProcessGrid):
    """Counts the bytes to and from nodes; ``bytes`` are by round and kind of message."""

    def __init__(self, joined: list[Joined]) -> None:
        super().__init__([one.app for one in joined])
        self.bytes: Counter[tuple[int, str]] = Counter()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run the ClientApps, one after the other."""
        messages = list(messages)
        for message in messages:
            self._count(message)
        return super().push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies, once."""
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            self._count(reply)
        return replies

    def _count(self, message: Message) -> None:
        about = message.metadata
        self.bytes[int(about.group_id or 0), about.message_type] += wire_bytes(message)


__all__ = ["CountingGrid", "wire_bytes"]
