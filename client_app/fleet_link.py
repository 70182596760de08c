"""A node's side of Flower's Fleet API: messages in, replies out.

What ``flower-supernode`` does in `flwr.supernode.fleet_http_connection`, without a process of its
own between the SuperLink and the app, with whole messages as in `server_app.inline_grid`, and
without the retries there that end the process.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

_PATIENCE = 10.0  # seconds that a call is tried again after a connection broke
_BUSY = frozenset({429, 502, 503, 504})
_UNKNOWN = frozenset({401, 412})  # to a call of a node, and when it activates
_ANSWER_BYTES = 32 << 20  # of a question: twice what an answer to it may have


class FleetLink:
    """An active node at the SuperLink ``address``, a context manager.

    ``ca`` is the PEM text by which to know the server, ``key`` the node's P-384 key. All calls
    raise `httpx.HTTPError`; `is_unknown` and `is_passing` tell what follows from it.
    """

    def __init__(self, address: str, ca: str, key: ec.EllipticCurvePrivateKey) -> None:
        # Heartbeats and the goodbye are not tried again: nothing waits for them.
        self._again = RetryInvoker(
            lambda: exponential(0.2, max_delay=2),
            httpx.HTTPError,
            max_tries=None,
            max_time=_PATIENCE,
            should_giveup=lambda error: not is_passing(error),
        )
        self._public_key = public_key_to_bytes(key.public_key())
        self._client = FleetHttpClient.from_server_address(
            address,
            insecure=False,
            root_certificates=ca.encode(),
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        )
        # Called before anything else of an answer is read; Flower's client follows redirects.
        self._client._client.event_hooks["response"] = [_check]
        self._heartbeat = HeartbeatSender(self._beat)

    def __enter__(self) -> Self:
        request = ActivateNodeRequest(
            public_key=self._public_key, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
        )
        try:
            self._node = Node(node_id=self._call(self._client.ActivateNode, request).node_id)
        except BaseException:
            self._client.close()
            raise
        self._heartbeat.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        with suppress(RuntimeError):  # it is over
            self._heartbeat.stop()
        # So that nobody waits for the next heartbeat; where it is not heard, that shows it.
        with suppress(httpx.HTTPError, ValueError):
            self._client.DeactivateNode(DeactivateNodeRequest(node_id=self.node_id))
        self._client.close()

    @property
    def node_id(self) -> int:
        """How the SuperLink calls this node."""
        return int(self._node.node_id)

    def receive(self) -> Message | None:
        """The next message for this node; None when there is none."""
        # Not tried again: what was on the way when a connection broke counts as delivered, and the
        # next answer would say that there is nothing.
        request = PullMessagesRequest(node=self._node)
        messages = _readable(self._client.PullMessages, request).messages_list
        try:
            return message_from_proto(messages[0]) if messages else None
        except Exception as error:  # whatever Flower raises for a peer's bytes
            raise httpx.DecodingError("the server sent a message that is none") from error

    def send(self, reply: Message, seconds: float) -> None:
        """Send a reply to a message that took ``seconds`` to answer."""
        reply.metadata.__dict__["_message_id"] = reply.object_id
        request = PushMessagesRequest(
            node=self._node,
            messages_list=[message_to_proto(reply)],
            message_object_trees=[ObjectTree(object_id=reply.metadata.message_id)],
            clientapp_runtime_list=[seconds],
        )
        self._call(self._client.PushMessages, request)

    def app_of(self, run_id: int) -> bytes:
        """The app (FAB) that the SuperLink has for a run."""
        asked = GetRunRequest(node=self._node, run_id=run_id)
        digest = self._call(self._client.GetRun, asked).run.fab_hash
        request = GetFabRequest(node=self._node, hash_str=digest, run_id=run_id)
        return bytes(self._call(self._client.GetFab, request).fab.content)

    def _call(self, method: Callable[[Any], Any], request: Any) -> Any:
        return self._again.invoke(_readable, method, request)

    def _beat(self) -> bool:
        request = SendNodeHeartbeatRequest(
            node=self._node, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
        )
        try:
            return bool(self._client.SendNodeHeartbeat(request).success)
        except (httpx.HTTPError, ValueError):
            return False  # whoever asks for messages next finds out why


def _readable(method: Callable[[Any], Any], request: Any) -> Any:
    try:
        return method(request)
    except ValueError as error:
        raise httpx.DecodingError("the server's answer is none") from error


def _check(response: httpx.Response) -> None:
    """Refuse what a SuperLink does not answer: it could lead elsewhere, or fill the memory."""
    length = response.headers.get("content-length", "")
    if response.is_redirect or "content-encoding" in response.headers or not length.isdecimal():
        raise httpx.DecodingError("the server's answer is not that of a SuperLink")
    if int(length) > _ANSWER_BYTES:
        raise httpx.DecodingError(f"the server's answer has {int(length):,} bytes")


def is_unknown(error: Exception) -> bool:
    """Whether the SuperLink does not know this node (any more), or does not believe its clock."""
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in _UNKNOWN


def is_passing(error: Exception) -> bool:
    """Whether it may be tried again: nobody is there, or too much is going on."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError)


__all__ = ["FleetLink", "is_passing", "is_unknown"]
