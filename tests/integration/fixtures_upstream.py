"""A server in the SuperLink's place that keeps what it gets, and nginx in front of it."""

from __future__ import annotations

import ssl
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from fixtures_proxy import Caller, Nginx, find_nginx
from fixtures_tls import TlsServer, enrolled, server_context

from server_app.home import create_home
from server_app.layout import Layout
from server_app.revocation_list import revocation_list

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


class Upstream:
    """Answers every request with ``answer`` once ``go`` is set; ``requests`` has head and body."""

    def __init__(self, layout: Layout, port: int = 0) -> None:
        self.requests: list[tuple[str, int]] = []
        self.answer = ANSWER
        self.go = threading.Event()
        self.go.set()
        self._server = TlsServer(server_context(layout), self._handle, port)
        self.port = self._server.port

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._server.__exit__()

    def _handle(self, connection: ssl.SSLSocket) -> None:
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(64 << 10)
        head, _, body = got.partition(b"\r\n\r\n")
        (length,) = (
            line[16:] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")
        )
        size = len(body)
        while size < int(length):
            size += len(connection.recv(64 << 10))
        self.requests.append((head.decode("latin-1"), size))
        self.go.wait(30)
        connection.sendall(self.answer)
        connection.unwrap()


class Place:
    """A server's home with nginx; what is upstream comes and goes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        find_nginx()
        self.folder, self.layout = folder, create_home(folder / "home", [])
        self.revoke()
        self.upstream = stack.enter_context(Upstream(self.layout))
        self.nginx = stack.enter_context(Nginx(self.layout, folder / "nginx", self.upstream.port))

    def enroll(self, name: str) -> Path:
        """The credentials of a new participant."""
        return enrolled(self.layout, name, self.folder)

    def revoke(self, *serials: int) -> None:
        """Write the list; nginx reads it when it is told to."""
        path = self.layout.ca_certificate.with_name("crl.pem")
        path.write_bytes(revocation_list(self.layout.home, serials))

    def caller(self, credentials: Path | None) -> Caller:
        """Somebody who connects to the proxy."""
        return Caller(self.nginx.port, self.layout.ca_certificate, credentials)
