"""The same ServerApp and ClientApps in one process: for tests and quick experiments."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from blindfit.roster import Roster
from blindfit.study import Study
from server_app.federation import make_server_app
from server_app.run_folder import RunFolder

_CLIENT_APP_RAISED = 2  # Flower's code for an exception in a ClientApp


class InProcessGrid(Grid):  # type: ignore[misc]  # mypy does not look into flwr
    """Runs a message's ClientApp when the message is pushed; node ids are 1, 2, ..."""

    def __init__(self, apps: Sequence[ClientApp]) -> None:
        self._apps = dict(enumerate(apps, 1))
        self._contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in self._apps}
        self._replies: dict[str, Message] = {}
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1

    def set_run(self, run: Any) -> None:
        """There is only one run."""

    @property
    def run(self) -> Any:
        """There is no run of a SuperLink."""
        raise NotImplementedError("a training in one process has no Flower run")

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message; the constructor of `Message` does the same."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """All nodes are always online."""
        return list(self._apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Run the ClientApps, one after the other."""
        return [self._run(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies, once."""
        return [self._replies.pop(key) for key in list(message_ids) if key in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Both at once; there is nothing to wait for."""
        del timeout
        return self.pull_messages(self.push_messages(messages))

    def _run(self, message: Message) -> str:
        key, node = str(uuid.uuid4()), message.metadata.dst_node_id
        message.metadata.__dict__["_message_id"] = key  # a SuperLink would set it
        try:
            reply = self._apps[node](message, self._contexts[node])
        except Exception as error:  # noqa: BLE001 - a SuperNode turns any exception into a reply
            reply = Message(Error(_CLIENT_APP_RAISED, repr(error)), reply_to=message)
        self._replies[key] = reply
        return key


def train_in_process(
    study: Study, roster: Roster, apps: Sequence[ClientApp], run_dir: Path
) -> RunFolder:
    """Train ``study`` with the ClientApps of ``roster``'s participants, in its order.

    Returns the run's folder with model and history. Raises `TrainingError`.
    """
    run = RunFolder.create(run_dir, study, roster)
    conduct_in_process(run, InProcessGrid(apps))
    return run


def conduct_in_process(run: RunFolder, grid: Grid) -> None:
    """Train the run's study over ``grid``, whose nodes are 1, 2, ... in the roster's order."""
    run.name_participants({i: member.name for i, member in enumerate(run.roster().members, 1)})
    context = Context(1, 0, {}, RecordDict(), {})
    make_server_app(run.path)(grid=grid, context=context)
