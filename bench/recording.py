"""What a coordinator gets to see of a training in one process."""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import Message

from bench.federation import Joined
from blindfit.errors import UpdateError
from blindfit.federation_messages import read_words
from blindfit.secagg.masks import Words
from server_app.in_process import InProcessGrid


class RecordingGrid(InProcessGrid):
    """Keeps the inputs of ``length`` words that nodes send, as they come, by round and node."""

    def __init__(self, joined: list[Joined], length: int) -> None:
        super().__init__([one.app for one in joined])
        self._length = length
        self.inputs: dict[tuple[int, int], Words] = {}

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies, once."""
        replies = list(super().pull_messages(message_ids))
        for reply in replies:
            if reply.metadata.message_type.startswith("train.") and not reply.has_error():
                self._keep(reply)
        return replies

    def _keep(self, reply: Message) -> None:
        try:
            words = read_words(reply.content, self._length)
        except UpdateError:  # an evaluation, which has fewer
            return
        self.inputs[int(reply.metadata.group_id), reply.metadata.src_node_id] = words


__all__ = ["RecordingGrid"]
