"""Flower's grid, with whole messages: a request for each question, and one for all answers.

Flower 1.41 sends a message without its content, and each record and array of it as an object in a
request of its own, there and back: 16 requests for a question and its answer. The SuperLink, which
answers one request at a time, is what a round then waits for. Its messages have a field for the
content, and it passes on what is in there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import httpx
from flwr.app import Message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest
from flwr.superlink.grid.http_grid import HttpGrid

_log = logging.getLogger(__name__)


class InlineGrid(HttpGrid):  # type: ignore[misc]
    """Takes over the connection and the run of ``grid``."""

    def __init__(self, grid: HttpGrid) -> None:
        self.__dict__.update(grid.__dict__)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages to their nodes; their identifiers, in the same order.

        One at a time: the SuperLink forgets all that came in one request when an object of it is
        asked for too late, which a participant could do.
        """
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Replies that have come to these messages, each of them once."""
        request = PullAppMessagesRequest(message_ids=message_ids)
        try:
            reply = self._runtime_client.PullMessages(request)
        except httpx.HTTPStatusError as error:
            if not error.response.is_server_error:
                raise
            # A participant can bring that about; the replies that had come are lost.
            _log.exception("the SuperLink could not hand out its messages")
            return []
        return [message_from_proto(proto) for proto in reply.messages_list]

    def _push(self, message: Message) -> str:
        message.metadata.__dict__["_message_id"] = message.object_id
        self._check_message(message)
        # The SuperLink delivers only what it has a tree of objects for: here nothing but the root.
        request = PushAppMessagesRequest(
            messages_list=[message_to_proto(message)],
            message_object_trees=[ObjectTree(object_id=message.metadata.message_id)],
        )
        return str(self._runtime_client.PushMessages(request).message_ids[0])


__all__ = ["InlineGrid"]
