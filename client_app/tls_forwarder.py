"""A door on this machine to a server that asks for a client certificate.

The process that trains may reach one port of this machine, and read no credentials. So it connects
here, over TLS with a certificate made for this one purpose, and from here each connection goes on
to the real server, over TLS with the enrolled certificate. Bytes pass unchanged.

Whoever connects here is carried with the participant's certificate: only processes of the same user
are let in, and the SuperLink still asks each call for the node's own signature.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
import threading
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from typing import Self

from blindfit.address import split_address
from blindfit.errors import BlindfitError
from client_app.fleet_tls import explain, fleet_context
from client_app.local_certificate import local_context
from client_app.loopback_peer import is_own_peer
from client_app.piping import PIECE, Connection, close, pipe

_CONNECT_SECONDS = 10.0  # to reach the server, its handshake included

_log = logging.getLogger(__name__)


class TlsForwarder:
    """Forwards connections to ``server`` (``host:port``) while it is entered.

    ``ca`` is the authority that vouches for the server, ``credentials`` the file of key and
    certificate to show it if it asks, or None. They are read anew for each connection, so a
    certificate that is replaced meanwhile is used from then on.
    """

    def __init__(self, server: str, ca: Path, credentials: Path | None) -> None:
        self._server, self._ca, self._credentials = server, ca, credentials
        self._connections: set[asyncio.Task[None]] = set()
        self._trouble: str | None = None
        self._expected = False

    def __enter__(self) -> Self:
        """Listen; raises `InputError`, `NotEnrolledError` or `AccessError` as `fleet_context`."""
        split_address(self._server)
        fleet_context(self._ca, self._credentials)
        self._folder = tempfile.TemporaryDirectory(prefix="blindfit-tls-")  # mode 0700
        context, self._local_ca = local_context(Path(self._folder.name))
        listener = socket.create_server(("127.0.0.1", 0))
        self._address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._loop, self._stopping = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener, context), name="tls-forwarder", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()

    @property
    def address(self) -> str:
        """Where it listens, ``127.0.0.1:port``."""
        return self._address

    @property
    def ca(self) -> Path:
        """The PEM file by which to know it."""
        return self._local_ca

    @property
    def trouble(self) -> str | None:
        """Why the last connection did not work; None since the server was last heard."""
        return self._trouble

    def expect_end(self) -> None:
        """From now on the server may go away, and nobody needs to hear of it."""
        self._expected = True

    def _run(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(listener, context))

    async def _serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        server = await asyncio.start_server(
            self._accept, sock=listener, ssl=context, limit=PIECE, ssl_handshake_timeout=10
        )
        await self._stopping.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = self._loop.create_task(self._forward(Connection(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _forward(self, near: Connection) -> None:
        try:
            ends = (near.writer.get_extra_info(name) for name in ("peername", "sockname"))
            if not is_own_peer(*ends):
                _log.warning("another user of this machine was turned away at %s", self._address)
                return
            far = await self._connect()
            try:
                await pipe(near, far, self._heard)
            finally:
                await close(far)
        except (OSError, BlindfitError) as error:
            self._tell(error)
        finally:
            await close(near)

    async def _connect(self) -> Connection:
        host, port = split_address(self._server)
        context = fleet_context(self._ca, self._credentials)
        async with asyncio.timeout(_CONNECT_SECONDS):
            streams = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=host, limit=PIECE
            )
        return Connection(*streams)

    def _heard(self) -> None:
        self._trouble = None

    def _tell(self, error: OSError | BlindfitError) -> None:
        trouble = explain(error, self._server, self._ca)
        # A SuperNode tries for hours: the same reason is told once.
        if trouble != self._trouble and not self._expected:
            _log.warning("%s", trouble)
        self._trouble = trouble
