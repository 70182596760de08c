"""Certificates of a server's authority, and TLS servers in threads."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding

from keys.credentials import certificate_request, issued_credentials, new_private_key
from server_app.authority import sign_request
from server_app.layout import Layout

Handler = Callable[[ssl.SSLSocket], None]


def enrolled(layout: Layout, name: str, folder: Path) -> Path:
    """What `enroll` leaves: a file with a key and the authority's certificate for it."""
    key = new_private_key()
    certificate = sign_request(layout.home, certificate_request(key, name), name, lifetime=3600)
    path = folder / f"{name}.pem"
    path.touch(0o600)
    path.write_bytes(issued_credentials(key, certificate.public_bytes(Encoding.PEM)).to_bytes())
    return path


def server_context(layout: Layout, *, asks: bool = False) -> ssl.SSLContext:
    """TLS of the server with this home; ``asks`` for a certificate of its authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(layout.certificate, layout.key)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(layout.ca_certificate)
    return context


class TlsServer:
    """A server that calls ``handler`` with each connection, in a thread of its own."""

    def __init__(self, context: ssl.SSLContext, handler: Handler, port: int = 0) -> None:
        self._context, self._handler = context, handler
        self._listener = socket.create_server(("", port))
        self.port = int(self._listener.getsockname()[1])
        self.connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_raised: object) -> None:
        # Closing alone does not wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(plain)
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        secure = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.connections.append(secure)
        with secure, suppress(OSError):
            try:
                secure.do_handshake()
            except ssl.SSLError:
                # Closed with unread bytes, the connection would be reset, and the alert lost.
                secure.shutdown(socket.SHUT_WR)
                while secure.recv(4096):
                    pass
                return
            self._handler(secure)
