"""Only the app that was agreed is run, and no message ends the process that runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from client_app import supernode
from client_app.federation import REFUSED
from client_app.supernode import SuperNode

AGREED, OTHER = b"the agreed app", b"another app"


class Link:
    """What a SuperLink says, one thing after the other: a message, None, or an error to raise."""

    node_id = 7

    def __init__(self, *said: object, app: bytes = AGREED) -> None:
        self._said, self._app = iter(said), app
        self.sent: list[Message] = []
        self.asked_for_app: list[int] = []
        self.left = 0

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.left += 1

    def receive(self) -> object:
        said = next(self._said)
        if isinstance(said, Exception):
            raise said
        return said

    def send(self, reply: Message, seconds: float) -> None:
        self.sent.append(reply)

    def app_of(self, run_id: int) -> bytes:
        self.asked_for_app.append(run_id)
        return self._app


def status(code: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://127.0.0.1/v1/fleet/pull-messages")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(code))


def message(kind: str, run_id: int = 1) -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, 1, 1
    asked = Message(RecordDict(), 7, kind)
    asked.metadata.__dict__["_message_id"] = "id"  # a SuperLink would set it
    return asked


@pytest.fixture
def told() -> list[tuple[str, dict[str, str]]]:
    return []


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(supernode.time, "sleep", slept.append)
    return slept


@pytest.fixture
def run(told):
    app = ClientApp()

    @app.query("known")
    def known(message: Message, context: Context) -> Message:
        assert (context.run_id, context.node_id) == (1, 7)
        return Message(RecordDict(), reply_to=message)

    def take_part(*links: Link, questions: int) -> None:
        """Until so many questions were put to ``links``, each used until it raises."""
        left: Iterator[Link] = iter(links)
        digest = hashlib.sha256(AGREED).hexdigest()
        node = SuperNode(
            lambda: next(left), digest, app, lambda event, **more: told.append((event, more))
        )
        looks = iter([False] * questions)
        node.run(lambda: next(looks, True))

    return take_part


def test_the_agreed_app_is_run_and_looked_at_once_a_run(run, told) -> None:
    link = Link(message("query.known"), message("query.known"))
    run(link, questions=3)
    assert [reply.has_error() for reply in link.sent] == [False, False]
    assert link.asked_for_app == [1]
    assert told == [("admitted", {})]
    assert link.left == 1


def test_the_app_of_another_run_is_looked_at_again(run) -> None:
    link = Link(message("query.known"), message("query.other", run_id=2), message("query.known"))
    run(link, questions=4)
    assert link.asked_for_app == [1, 2, 1]


def test_another_app_is_refused_and_told(run, told) -> None:
    link = Link(message("query.known"), app=OTHER)
    run(link, questions=2)
    (reply,) = link.sent
    assert reply.error.code == REFUSED
    assert hashlib.sha256(OTHER).hexdigest() in reply.error.reason
    assert [event for event, _ in told] == ["admitted", "foreign_app"]


def test_a_message_that_the_app_does_not_know_ends_nothing(run, told, caplog) -> None:
    link = Link(message("query.other"), message("query.known"))
    run(link, questions=3)
    assert "a message could not be answered" in caplog.text
    assert len(link.sent) == 1
    assert [event for event, _ in told] == ["admitted", "refused"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (status(413), "the server answers 413: a message is larger than it takes"),
        (status(403), "the server answers 403"),
    ],
)
def test_an_answer_that_is_not_taken_is_told_and_ends_nothing(run, told, error, why) -> None:
    class Choosy(Link):
        def send(self, reply: Message, seconds: float) -> None:
            if not self.sent:
                self.sent.append(reply)
                raise error
            super().send(reply, seconds)

    link = Choosy(message("query.known"), message("query.known"))
    run(link, questions=3)
    assert told == [("admitted", {}), ("refused", {"reason": why})]
    assert len(link.sent) == 2


@pytest.mark.parametrize(
    ("lost", "event", "why"),
    [
        (httpx.ConnectError("refused"), "unconnected", "refused"),
        (status(503), "unconnected", "the server answers 503"),
        (status(500), "unconnected", "the server answers 500"),
        (httpx.DecodingError("a message that is none"), "unconnected", "a message that is none"),
        (
            status(401),
            "unadmitted",
            "the server does not know this participant's key, or the two clocks differ",
        ),
    ],
)
def test_a_lost_connection_is_told_and_made_again(run, told, pauses, lost, event, why) -> None:
    first, second = Link(lost), Link(message("query.known"))
    run(first, second, questions=4)
    assert pauses == [supernode._AGAIN_SECONDS], "what fails for ever would keep a core busy"
    assert told == [("admitted", {}), (event, {"reason": why}), ("admitted", {})]
    assert len(second.sent) == 1
    assert (first.left, second.left) == (1, 1)


def test_a_server_that_does_not_know_the_node_is_asked_again(run, told) -> None:
    class Unknown(Link):
        def __enter__(self) -> Link:
            raise status(412)

    link = Link(message("query.known"))
    run(Unknown(), link, questions=3)
    assert [event for event, _ in told] == ["unadmitted", "admitted"]
    assert len(link.sent) == 1


def test_questions_are_frequent_after_a_message_and_rare_after_a_long_time(run, pauses) -> None:
    quiet: list[object] = [None] * 60
    run(Link(*quiet, message("query.known"), None), questions=63)
    waited = pauses[:60]
    assert waited == sorted(waited)
    assert waited[-1] == 2.0
    assert pauses[60] == waited[0] == 0.1
    for number, pause in enumerate(waited[:30]):
        assert pause <= 0.1 + 0.11 * sum(waited[:number]), "it adds little to what was waited"
