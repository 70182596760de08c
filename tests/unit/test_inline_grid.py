"""Messages to and from participants are whole, one request for a question."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.proto.runtime_pb2 import PullAppMessagesResponse, PushAppMessagesResponse
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid

from server_app.inline_grid import InlineGrid


class Client:
    """Keeps what it is asked to push, and answers a pull with ``replies``."""

    def __init__(self) -> None:
        self.pushed: list[list[str]] = []
        self.requests: list[object] = []
        self.replies: list[Message] = []
        self.asked_for: list[str] = []
        self.fails = 0

    def PushMessages(self, request):  # noqa: N802 - Flower's name
        names = [proto.metadata.message_id for proto in request.messages_list]
        assert [tree.object_id for tree in request.message_object_trees] == names
        self.pushed.append(names)
        self.requests += request.messages_list
        return PushAppMessagesResponse(message_ids=names)

    def PullMessages(self, request):  # noqa: N802 - Flower's name
        self.asked_for += request.message_ids
        if self.fails:
            asked = httpx.Request("POST", "https://127.0.0.1/v1/runtime/pull-messages")
            raise httpx.HTTPStatusError(
                "no", request=asked, response=httpx.Response(self.fails, request=asked)
            )
        return PullAppMessagesResponse(
            messages_list=[message_to_proto(reply) for reply in self.replies]
        )


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def grid(client: Client) -> InlineGrid:
    plain = HttpGrid("127.0.0.1:1", insecure=True, token="token")
    plain._client, plain._run = client, SimpleNamespace(run_id=1)
    return InlineGrid(plain)


def message(node: int, size: int = 3) -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    return Message(RecordDict({"blindfit": ConfigRecord({"words": bytes(size)})}), node, "train")


def test_a_question_is_one_request_with_its_content(grid, client) -> None:
    names = grid.push_messages([message(1), message(2), message(3)])
    assert client.pushed == [[name] for name in names]
    assert len(set(names)) == 3
    assert [proto.metadata.dst_node_id for proto in client.requests] == [1, 2, 3]
    for proto in client.requests:
        assert bytes(3) in proto.content.SerializeToString()


def test_a_superlink_that_stumbles_over_a_reply_does_not_end_the_training(grid, client) -> None:
    client.fails = 500
    assert grid.pull_messages(["id"]) == []
    client.fails = 401
    with pytest.raises(httpx.HTTPStatusError):
        grid.pull_messages(["id"])


def test_nothing_to_send_is_no_request(grid, client) -> None:
    assert grid.push_messages([]) == []
    assert client.pushed == []


def test_answers_come_with_their_content_or_their_error(grid, client) -> None:
    first, second = message(1), message(2)
    names = grid.push_messages([first, second])
    content = RecordDict({"blindfit": ConfigRecord({"words": b"sum"})})
    client.replies = [
        Message(content, reply_to=first),
        Message(Error(100, "its rows could not be trained with"), reply_to=second),
    ]
    good, bad = grid.pull_messages(names)
    assert client.asked_for == names
    assert good.content["blindfit"]["words"] == b"sum"
    assert good.metadata.reply_to_message_id == names[0]
    assert bad.error.reason == "its rows could not be trained with"
    assert bad.metadata.reply_to_message_id == names[1]
