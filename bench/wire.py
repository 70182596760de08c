"""How many bytes a training puts on the wire: messages with their content, as Flower encodes them.

So `server_app.inline_grid` and `client_app.fleet_link` send them. What HTTP and TLS add, and the
questions and heartbeats of idle nodes, are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.common.serde import message_to_proto, recorddict_to_proto

from bench.federation import Joined
from server_app.in_process import InProcessGrid


def wire_bytes(sent: Message | RecordDict) -> int:
    """The bytes of a message, or of its content."""
    encode = recorddict_to_proto if isinstance(sent, RecordDict) else message_to_proto
    return int(encode(sent).ByteSize())


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
