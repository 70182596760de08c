"""What a coordinator gets to see of a training in one process, and how much of it goes over the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from bench.federation import Joined
from blindfit.federation_messages import read_words
from blindfit.secagg.masks import Words
from server_app.in_process import InProcessGrid


class RecordingGrid(InProcessGrid):
    """Keeps the inputs that nodes send, as they come, and counts the bytes to and from each node.

    ``inputs`` are words by round and node, of rounds that ask for ``length`` words.
    """

    def __init__(self, joined: list[Joined], length: int) -> None:
        super().__init__([one.app for one in joined])
        self._length = length
        self.inputs: dict[tuple[int, int], Words] = {}
        self.bytes: Counter[tuple[int, int, str]] = Counter()  # by round, node and kind of message

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run the ClientApps, one after the other."""
        messages = list(messages)
        for message in messages:
            self._count(message, message.metadata.dst_node_id)
        return super().push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies, once."""
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            about = reply.metadata
            self._count(reply, about.src_node_id)
            if about.message_type.startswith("train.") and not reply.has_error():
                data = reply.content.config_records["words"]["words"]
                if isinstance(data, bytes) and len(data) == 8 * self._length:
                    words = read_words(reply.content, self._length)
                    self.inputs[int(about.group_id), about.src_node_id] = words
        return replies

    def _count(self, message: Message, node: int) -> None:
        about = message.metadata
        self.bytes[int(about.group_id or 0), node, about.message_type] += wire_bytes(message)


def wire_bytes(message: Message) -> int:
    """The bytes of a message as Flower 1.41 sends it: all its objects, and the tree of their names.

    HTTP's and TLS's own bytes are not in it.
    """
    objects = get_all_nested_objects(message).values()
    return sum(len(item.deflate()) for item in objects) + get_object_tree(message).ByteSize()


__all__ = ["RecordingGrid", "wire_bytes"]
