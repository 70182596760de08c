"""A SuperNode's calls, to a server that answers as it likes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.proto.fab_pb2 import Fab, GetFabResponse
from flwr.proto.fleet_pb2 import (
    ActivateNodeResponse,
    DeactivateNodeResponse,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatResponse
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.run_pb2 import GetRunResponse, Run
from flwr.supercore.task_identity import TaskIdentity

from client_app import fleet_link
from client_app.fleet_link import FleetLink, is_passing, is_unknown
from client_app.local_certificate import local_context

Answer = Callable[[BaseHTTPRequestHandler], None]
_KEY = ec.generate_private_key(ec.SECP384R1())
pytestmark = pytest.mark.timeout(60)


def good(message: Any) -> Answer:
    return reply(200, message.SerializeToString())


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        length = {} if "transfer_encoding" in headers else {"content_length": str(len(body))}
        for name, value in (length | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Half an answer, and the end of the connection."""
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(bytes(50))
    handler.close_connection = True


class SuperLink:
    """Answers each call as a SuperLink does, but for what ``says`` says first."""

    def __init__(self, folder: Path) -> None:
        self.says: dict[str, list[Answer]] = {}
        self.calls: list[str] = []
        self.bodies: list[bytes] = []
        self._usual = {
            "activate-node": good(ActivateNodeResponse(node_id=7)),
            "deactivate-node": good(DeactivateNodeResponse()),
            "send-node-heartbeat": good(SendNodeHeartbeatResponse(success=True)),
            "pull-messages": good(PullMessagesResponse()),
            "push-messages": good(PushMessagesResponse()),
            "get-run": good(GetRunResponse(run=Run(run_id=3, fab_hash="ab"))),
            "get-fab": good(GetFabResponse(fab=Fab(hash_str="ab", content=b"the app"))),
        }
        context, self.ca = local_context(folder)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]

    def link(self) -> FleetLink:
        return FleetLink(f"127.0.0.1:{self.port}", self.ca.read_text(), _KEY)

    def count(self, call: str) -> int:
        return self.calls.count(call)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        here = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                call = self.path.removeprefix("/v1/fleet/")
                here.calls.append(call)
                here.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                said = here.says.get(call)
                (said.pop(0) if said else here._usual[call])(self)

            do_GET = do_POST  # noqa: N815 - its name

            def log_message(self, *words: object) -> None:
                """Not on the tests' output."""

        return Handler


@pytest.fixture
def superlink(tmp_path: Path) -> Iterator[SuperLink]:
    server = SuperLink(tmp_path)
    thread = threading.Thread(target=server.server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.server.shutdown()
    thread.join()
    server.server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_link, "_PATIENCE", 1.0)


def question() -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 3, 1, 1
    asked = Message(RecordDict({"blindfit": ConfigRecord({"words": b"abc"})}), 7, "train.masked")
    asked.metadata.__dict__["_message_id"] = asked.object_id
    return asked


def test_a_question_comes_whole_and_its_answer_goes_whole(superlink: SuperLink) -> None:
    asked = question()
    superlink.says["pull-messages"] = [
        good(PullMessagesResponse(messages_list=[message_to_proto(asked)]))
    ]
    with superlink.link() as link:
        got = link.receive()
        assert got is not None
        assert got.content["blindfit"]["words"] == b"abc"
        assert link.receive() is None
        content = RecordDict({"blindfit": ConfigRecord({"words": b"a sum"})})
        link.send(Message(content, reply_to=got), 0.5)
        assert link.app_of(3) == b"the app"
    sent = PushMessagesRequest.FromString(superlink.bodies[superlink.calls.index("push-messages")])
    (proto,) = sent.messages_list
    assert b"a sum" in proto.content.SerializeToString()
    assert proto.metadata.reply_to_message_id == asked.metadata.message_id
    assert [tree.object_id for tree in sent.message_object_trees] == [proto.metadata.message_id]
    assert superlink.calls[-1] == "deactivate-node"


def test_an_answer_is_sent_again_when_the_connection_breaks(superlink: SuperLink) -> None:
    superlink.says["push-messages"] = [cut, reply(503)]
    with superlink.link() as link:
        link.send(Message(RecordDict(), reply_to=question()), 0.5)
    assert superlink.count("push-messages") == 3


def test_a_question_that_is_lost_on_its_way_is_told(superlink: SuperLink) -> None:
    """The SuperLink counts it as delivered, so the next answer would be that there is none."""
    superlink.says["pull-messages"] = [cut]
    with superlink.link() as link, pytest.raises(httpx.TransportError) as raised:
        link.receive()
    assert superlink.count("pull-messages") == 1
    assert is_passing(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        reply(307, location="https://127.0.0.1:1/v1/fleet/pull-messages"),
        reply(302, location="/v1/fleet/get-fab"),
        reply(200, gzip.compress(bytes(1 << 20)), content_encoding="gzip"),
        reply(200, content_length=str(64 << 20)),
        reply(200, b"0\r\n\r\n", transfer_encoding="chunked"),
        reply(200, b"<html>"),
        good(PullMessagesResponse(messages_list=[ProtoMessage()])),
    ],
    ids=[
        *("elsewhere", "another call", "compressed", "too long", "of unknown length", "junk"),
        "an empty message",
    ],
)
def test_an_answer_that_is_none_of_a_superlink_is_refused(
    superlink: SuperLink, answer: Answer
) -> None:
    superlink.says["pull-messages"] = [answer]
    with superlink.link() as link, pytest.raises(httpx.DecodingError):
        link.receive()
    others = {"activate-node", "pull-messages", "send-node-heartbeat", "deactivate-node"}
    assert set(superlink.calls) <= others, "it followed"
    assert superlink.count("pull-messages") == 1


def test_junk_when_it_activates_is_an_error_like_others(superlink: SuperLink) -> None:
    superlink.says["activate-node"] = [reply(200, b"<html>")]
    with pytest.raises(httpx.DecodingError), superlink.link():
        pass


def test_a_heartbeat_that_is_answered_with_junk_ends_nothing(superlink: SuperLink) -> None:
    superlink.says["send-node-heartbeat"] = [reply(200, b"<html>")]
    with superlink.link() as link:
        for _ in range(100):
            if superlink.count("send-node-heartbeat") > 1:
                break
            link._heartbeat._stop_event.wait(0.1)
        assert link._heartbeat.is_running
    assert superlink.count("send-node-heartbeat") > 1
    assert superlink.calls[-1] == "deactivate-node"


@pytest.mark.parametrize(("call", "status"), [("activate-node", 412), ("pull-messages", 401)])
def test_a_server_that_does_not_know_the_node_says_so(
    superlink: SuperLink, call: str, status: int
) -> None:
    superlink.says[call] = [reply(status)]
    with pytest.raises(httpx.HTTPStatusError) as raised, superlink.link() as link:
        link.receive()
    assert is_unknown(raised.value)
    assert not is_passing(raised.value)
    assert superlink.count(call) == 1
