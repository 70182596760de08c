"""Flower's grid, with whole messages: one request for all of a stage's questions or answers.

Flower 1.41 sends a message without its content, and each record and array of it as an object in a
request of its own, there and back: 16 requests for a question and its answer. The SuperLink, which
answers one request at a time, is what a round then waits for. Its messages have a field for the
content, and it passes on what is in there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flwr.app import Message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest
from flwr.superlink.grid.http_grid import HttpGrid

_REQUEST_BYTES = 16 << 20  # of messages in one request, unless one alone is larger


class InlineGrid(HttpGrid):  # type: ignore[misc]
    """Takes over the connection and the run of ``grid``."""

    def __init__(self, grid: HttpGrid) -> None:
        self.__dict__.update(grid.__dict__)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages to their nodes; their identifiers, in the same order."""
        protos = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = message.object_id
            self._check_message(message)
            protos.append(message_to_proto(message))
        return [name for part in _parts(protos) for name in self._push(part)]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Replies that have come to these messages, each of them once."""
        request = PullAppMessagesRequest(message_ids=message_ids)
        reply = self._runtime_client.PullMessages(request)
        return [message_from_proto(proto) for proto in reply.messages_list]

    def _push(self, protos: list[ProtoMessage]) -> list[str]:
        # The SuperLink delivers only what it has a tree of objects for: here nothing but the root.
        trees = [ObjectTree(object_id=proto.metadata.message_id) for proto in protos]
        request = PushAppMessagesRequest(messages_list=protos, message_object_trees=trees)
        return list(self._runtime_client.PushMessages(request).message_ids)


def _parts(protos: Iterable[ProtoMessage]) -> Iterator[list[ProtoMessage]]:
    part: list[ProtoMessage] = []
    size = 0
    for proto in protos:
        if part and size + proto.ByteSize() > _REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(proto)
        size += proto.ByteSize()
    if part:
        yield part


__all__ = ["InlineGrid"]
