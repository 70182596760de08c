"""The real nginx with the configuration that we ship, and requests that no client would write."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
import pytest

from blindfit.flower_process import free_port
from server_app.layout import Layout

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "packaging" / "nginx" / "blindfit-fleet.conf"
UNPACKED = ROOT / "build" / "nginx" / "usr" / "sbin" / "nginx"  # by scripts/install_nginx.sh
# What a machine's own nginx.conf would have around ours.
_MAIN = """
daemon off;
worker_processes 1;
pid nginx.pid;
lock_file nginx.lock;
error_log error.log info;
events {}
http {
    client_body_temp_path temporary/body;
    proxy_temp_path temporary/proxy;
    fastcgi_temp_path temporary/fastcgi;
    uwsgi_temp_path temporary/uwsgi;
    scgi_temp_path temporary/scgi;
    include blindfit-fleet.conf;
}
"""


def find_nginx() -> Path:
    """The program; without one the tests fail in CI, and are skipped elsewhere."""
    found = shutil.which("nginx")
    for path in (found, "/usr/sbin/nginx", UNPACKED):
        if path is not None and Path(path).is_file():
            return Path(path)
    text = "there is no nginx: run `sh scripts/install_nginx.sh`"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def substituted(shipped: str, values: dict[str, str]) -> str:
    """``shipped`` with the values that it marks with CHANGE replaced, each of them and no other."""
    lines = []
    for line in shipped.splitlines():
        setting, mark, comment = line.partition("# CHANGE")
        if mark and setting.strip():
            (old,) = (old for old in values if old in setting)
            setting = setting.replace(old, values[old])
        lines.append(setting + mark + comment)
    return "\n".join(lines) + "\n"


class Nginx:
    """nginx in front of ``127.0.0.1:upstream`` as the server with this home, on ``port``."""

    def __init__(self, layout: Layout, folder: Path, upstream: int) -> None:
        self.port = free_port()
        self.folder = folder
        values = {
            "/srv/blindfit": str(layout.home),
            "127.0.0.1:8444": f"127.0.0.1:{upstream}",
            "listen 8443": f"listen 127.0.0.1:{self.port}",
            "/var/log/nginx": str(folder),
        }
        (folder / "temporary").mkdir(parents=True)
        (folder / "nginx.conf").write_text(_MAIN)
        (folder / SHIPPED.name).write_text(substituted(SHIPPED.read_text(), values))

    def __enter__(self) -> Self:
        place = ("-p", str(self.folder), "-e", "error.log", "-c", "nginx.conf")
        self._process = subprocess.Popen([str(find_nginx()), *place], start_new_session=True)
        self._wait(lambda: _listens(self.port))
        return self

    def __exit__(self, *_raised: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(20)

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def reload(self) -> None:
        """As `nginx -s reload` does; returns when the workers of before are gone."""
        before = self._workers()
        self._process.send_signal(signal.SIGHUP)
        self._wait(lambda: (now := self._workers()) and not now & before)

    def lines(self) -> list[str]:
        """The access log."""
        return (self.folder / "blindfit-fleet.log").read_text().splitlines()

    def _workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self._process.pid).children()}

    def _wait(self, until: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not until():
            assert self._process.poll() is None, (self.folder / "error.log").read_text()
            assert time.monotonic() < deadline, (self.folder / "error.log").read_text()
            time.sleep(0.05)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Caller:
    """Who connects to a port of this machine, with the credentials in a file or without any."""

    def __init__(self, port: int, ca: Path, credentials: Path | None) -> None:
        self._port, self._ca, self._credentials = port, ca, credentials

    def connect(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
        """An open connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = version
        context.load_verify_locations(self._ca)
        if self._credentials is not None:
            context.load_cert_chain(self._credentials)
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        return context.wrap_socket(plain, server_hostname="localhost")

    def send(self, request: bytes, idle: float = 0.3) -> bytes:
        """Everything that is answered to these bytes until the connection is closed or idle."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_answer(connection, idle)

    def call(self, path: str, **parts: str) -> tuple[int, str]:
        """Status and text of the answer to a POST."""
        head, _, text = self.send(post(path, "Connection: close", **parts)).partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), text.decode(errors="replace")


def read_answer(connection: ssl.SSLSocket, idle: float = 0.3) -> bytes:
    """What comes until the other end closes, or says nothing more for ``idle`` seconds."""
    answer = bytearray()
    with suppress(TimeoutError, ConnectionError):
        while piece := connection.recv(64 << 10):
            answer += piece
            connection.settimeout(idle)
    return bytes(answer)


def post(
    target: str,
    *headers: str,
    method: str = "POST",
    version: str = "HTTP/1.1",
    host: str = "Host: localhost",
    body: bytes = b"",
) -> bytes:
    """The bytes of a request for ``target``, written as they are; ``host`` may be empty."""
    lines = [
        f"{method} {target} {version}",
        *([host] if host else []),
        "Content-Type: application/protobuf",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def statuses(answer: bytes) -> list[int]:
    """The statuses of the responses in an answer; HTTP/0.9 has none, and is an error page here."""
    if not answer.startswith(b"HTTP/"):
        return [400] if b"<title>400" in answer or b"<title>404" in answer else []
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
