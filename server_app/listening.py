"""One TLS port: a gRPC server with the standard health service and reflection."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from blindfit.address import join_address, split_address
from blindfit.errors import UnavailableError
from server_app.layout import Layout

_MAX_CALLS_PER_CONNECTION = 64
_HANDSHAKE_MILLISECONDS = 10_000  # else silent connections would stay for two minutes
_IDLE_MILLISECONDS = 300_000  # a connection without calls; clients connect again by themselves
_health: Any = health  # its published stubs do not know `aio`


class _Health(_health.aio.HealthServicer):  # type: ignore[misc]  # see above
    """Health that is asked for. Whoever watched would hold a call for ever."""

    async def Watch(self, _request: Any, context: Any) -> None:  # noqa: N802
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "ask with Check, again and again")


class Listener:
    """A port that listens once started; its services are added to ``server`` before."""

    def __init__(
        self,
        address: str,
        layout: Layout,
        max_message: int,
        services: Iterable[str],
        *,
        client_certificates: bool,
        max_calls: int,
        interceptors: Sequence[Any] = (),
    ):
        self.server = aio.server(
            interceptors=interceptors,
            options=_options(max_message),
            maximum_concurrent_rpcs=max_calls,  # more: RESOURCE_EXHAUSTED
        )
        self._services = ["", *services]
        self._health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self.server)
        self.address = self._bind(address, _credentials(layout, client_certificates))

    async def start(self) -> None:
        """Accept connections; health says NOT_SERVING until told otherwise."""
        await self.set_serving(False)
        await self.server.start()

    async def set_serving(self, serving: bool) -> None:
        """What the health service answers."""
        status = health_pb2.HealthCheckResponse
        state = status.SERVING if serving else status.NOT_SERVING
        for name in self._services:
            await self._health.set(name, state)

    async def stop(self, seconds: float) -> None:
        """Refuse new calls at once; cancel those that are not over after ``seconds``."""
        await self.server.stop(seconds)

    def _bind(self, address: str, credentials: Any) -> str:
        host, _ = split_address(address, any_port=True)
        try:
            port = self.server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise UnavailableError(
                f"cannot listen on {address}", hint="stop what uses it, or choose another port"
            ) from error
        return join_address(host, port)


def allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one: each connection takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _credentials(layout: Layout, client_certificates: bool) -> Any:
    pair = (layout.key.read_bytes(), layout.certificate.read_bytes())
    if not client_certificates:
        return grpc.ssl_server_credentials([pair])
    ca = layout.ca_certificate.read_bytes()
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=True)


def _options(max_message: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message),
        ("grpc.max_send_message_length", -1),  # what the server says is its own choice
        ("grpc.max_concurrent_streams", _MAX_CALLS_PER_CONNECTION),
        # Keys come fast, in few frames and without waiting for gRPC to measure the connection.
        ("grpc.http2.max_frame_size", 1 << 20),
        ("grpc.http2.lookahead_bytes", 2 << 20),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MILLISECONDS),
        ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
        # Else a second daemon could listen on the same port and take every other connection.
        ("grpc.so_reuseport", 0),
        # Clients ping every minute while they wait for a long run. gRPC allows that every five
        # minutes only, and would end the connection.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
