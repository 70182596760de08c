"""Only the app that was agreed is run, and no message ends the process that runs it."""

from __future__ import annotations

import hashlib

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from client_app.federation import REFUSED
from client_app.task_runner import TaskRunner

AGREED, OTHER = b"the agreed app", b"another app"
CONTEXT = Context(1, 1, {}, RecordDict(), {})


@pytest.fixture
def told():
    return []


@pytest.fixture
def runner(told):
    app = ClientApp()

    @app.query("known")
    def known(message: Message, context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    digest = hashlib.sha256(AGREED).hexdigest()
    return TaskRunner(
        "127.0.0.1:1", bytes(32), digest, app, lambda event, **more: told.append((event, more))
    )


def ask(kind: str) -> Message:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    message = Message(RecordDict(), 1, kind)
    message.metadata.__dict__["_message_id"] = "id"  # a SuperLink would set it
    return message


def test_the_agreed_app_is_run(runner, told):
    reply = runner._reply(ask("query.known"), CONTEXT, AGREED)
    assert not reply.has_error()
    assert told == []


def test_another_app_is_refused_and_told(runner, told):
    reply = runner._reply(ask("query.known"), CONTEXT, OTHER)
    assert reply.error.code == REFUSED
    assert hashlib.sha256(OTHER).hexdigest() in reply.error.reason
    assert [event for event, _ in told] == ["foreign_app"]


def test_a_supernode_that_is_away_is_waited_for(runner):
    looks = iter([False, False, True])
    runner.run(lambda: next(looks))


def test_a_message_that_the_app_does_not_know_ends_nothing(runner, monkeypatch, caplog):
    from client_app import task_runner

    monkeypatch.setattr(task_runner, "HeartbeatSender", Heartbeat)
    monkeypatch.setattr(
        task_runner, "pull_task_input", lambda client: (ask("query.other"), CONTEXT, None, Fab())
    )
    runner._run("token")
    assert "a task could not be finished" in caplog.text


class Fab:
    content = AGREED


class Heartbeat:
    """Says nothing to nobody: there is no SuperNode here."""

    def __init__(self, beat: object) -> None:
        self.start = self.stop = lambda: None
