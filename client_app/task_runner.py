"""Runs a SuperNode's tasks with the one app that was agreed, in a process that stays.

It takes the place of Flower's ``flower-superexec`` and ``flwr-clientapp``, which would install and
run whatever app the SuperLink ships, in a new process for every message. Here no app is installed:
a task of another app than the study's is refused, one of the study's goes to the `ClientApp` of the
installed Blindfit. Functions and order are those of ``flwr.supernode.runtime.run_clientapp``.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable

import httpx
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import (
    pull_task_input,
    push_message,
    push_task_output,
)

from blindfit.backoff import Backoff
from client_app.federation import REFUSED
from client_app.participant import Tell

_SHORTEST, _LONGEST = 0.1, 0.5  # seconds between two questions for a task
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
_log = logging.getLogger(__name__)


class TaskRunner:
    """Runs ``app`` for the SuperNode whose runtime API is at ``address``, with its ``secret``.

    ``app_digest`` is the SHA-256 of the app (FAB) that is accepted, ``tell`` gets what was refused.
    """

    def __init__(
        self, address: str, secret: bytes, app_digest: str, app: ClientApp, tell: Tell
    ) -> None:
        self._address, self._app_digest, self._app, self._tell = address, app_digest, app, tell
        auth = SuperExecAuthHttpInterceptor(
            master_secret=secret, protected_methods=frozenset({_ACQUIRE})
        )
        version = RuntimeVersionHttpInterceptor(component_name="SuperExec")
        self._client = RuntimeHttpClient.from_server_address(
            address, insecure=True, root_certificates=None, interceptors=[version, auth]
        )

    def run(self, stopped: Callable[[], bool]) -> None:
        """Run tasks until ``stopped`` says so; a SuperNode that is away is waited for."""
        idle = Backoff(_SHORTEST, _LONGEST)
        while not stopped():
            token = self._acquire()
            if token:
                self._run(token)
                idle.reset()
            else:
                time.sleep(idle.pause())

    def _acquire(self) -> str:
        wanted = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
        try:
            return str(self._client.AcquireTask(wanted).token)
        except (httpx.HTTPError, OSError):
            return ""  # it is starting, or being restarted

    def _run(self, token: str) -> None:
        client = RuntimeHttpClient.from_server_address(
            self._address,
            insecure=True,
            root_certificates=None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
                RuntimeTokenHttpInterceptor(token),
            ],
            retry_invoker=make_simple_http_retry_invoker(),
        )
        heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
        heartbeat.start()
        try:
            message, context, _, fab = pull_task_input(client)
            reply = self._reply(message, context, fab.content)
            push_message(client, reply, context)
            push_task_output(client, context, SubStatus.COMPLETED, "")
        except Exception:  # noqa: BLE001 - a peer's bytes in Flower's code must not end us
            # Or the SuperNode went away in mid-task. Either way the coordinator gets no answer.
            _log.exception("a task could not be finished")
        finally:
            heartbeat.stop()
            client.close()

    def _reply(self, message: Message, context: Context, shipped: bytes) -> Message:
        digest = hashlib.sha256(shipped).hexdigest()
        if digest != self._app_digest:
            reason = (
                f"this participant runs only the app {self._app_digest} that its study names; "
                f"the server shipped {digest}"
            )
            self._tell("foreign_app", reason=reason)
            return Message(Error(REFUSED, reason), reply_to=message)
        return self._app(message, context)


__all__ = ["TaskRunner"]
