"""One TLS port: a gRPC server with the standard health service and reflection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from blindfit.errors import InputError, UnavailableError
from server_app.layout import Layout

_MAX_CALLS_PER_CONNECTION = 256
_MAX_CALLS = 4096  # at once on one port; more are refused with RESOURCE_EXHAUSTED
_health: Any = health  # its published stubs do not know `aio`


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
        interceptors: Sequence[Any] = (),
    ):
        self.server = aio.server(
            interceptors=interceptors,
            options=_options(max_message),
            maximum_concurrent_rpcs=_MAX_CALLS,
        )
        self._services = ["", *services]
        self._health = _health.aio.HealthServicer()
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
        host, _, number = address.rpartition(":")
        if not host or not number.isdigit() or int(number) > 65535:
            raise InputError(f"{address!r} is not an address like 127.0.0.1:7443")
        try:
            port = self.server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise UnavailableError(
                f"cannot listen on {address}", hint="stop what uses it, or choose another port"
            ) from error
        return f"{host}:{port}"


def _credentials(layout: Layout, client_certificates: bool) -> Any:
    pair = (layout.key.read_bytes(), layout.certificate.read_bytes())
    if not client_certificates:
        return grpc.ssl_server_credentials([pair])
    ca = layout.ca_certificate.read_bytes()
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=True)


def _options(max_message: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message),
        ("grpc.max_send_message_length", max_message),
        ("grpc.max_concurrent_streams", _MAX_CALLS_PER_CONNECTION),
        # Else a second daemon could listen on the same port and take every other connection.
        ("grpc.so_reuseport", 0),
        # Clients ping every minute while they wait for a long run. gRPC allows that every five
        # minutes only, and would end the connection.
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
