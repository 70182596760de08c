"""The forwarder between a SuperNode and a server that asks for a certificate, with real TLS."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from fixtures_tls import TlsServer, enrolled, server_context

from blindfit.address import split_address
from blindfit.errors import AccessError, InputError, NotEnrolledError
from blindfit.flower_process import free_port
from client_app.loopback_peer import is_own_peer
from client_app.tls_forwarder import TlsForwarder
from server_app.home import create_home
from server_app.layout import Layout

MIB = 1 << 20
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A server's authority, and its certificate for localhost and 127.0.0.1."""
    return create_home(tmp_path_factory.mktemp("server") / "home", [])


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Another server's authority."""
    return create_home(tmp_path_factory.mktemp("other") / "home", [])


@pytest.fixture(scope="module")
def credentials(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return enrolled(layout, "anna", tmp_path_factory.mktemp("anna"))


@contextmanager
def connected(forwarder: TlsForwarder) -> Iterator[ssl.SSLSocket]:
    """A connection as a SuperNode makes it: it believes the local certificate alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(forwarder.ca)
    host, port = split_address(forwarder.address)
    with (
        socket.create_connection((host, port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        yield secure


def echo(connection: ssl.SSLSocket) -> None:
    while piece := connection.recv(64 << 10):
        connection.sendall(piece)


def who(connection: ssl.SSLSocket) -> None:
    """Answer with the name and the protocol that the client came with."""
    connection.recv(1)
    certificate = connection.getpeercert() or {"subject": ((("commonName", "nobody"),),)}
    connection.sendall(f"{certificate['subject'][0][0][1]} {connection.version()}".encode())
    connection.unwrap()


def read_all(connection: ssl.SSLSocket) -> bytes:
    return b"".join(iter(lambda: connection.recv(64 << 10), b""))


def refused(forwarder: TlsForwarder) -> str:
    """Ask once; nothing comes back, and this is why."""
    with connected(forwarder) as connection:
        connection.sendall(b"?")
        assert connection.recv(1) == b""
    assert forwarder.trouble is not None
    return forwarder.trouble


# -- whom it connects to, and as whom ------------------------------------------------------------


def test_the_server_sees_the_enrolled_certificate(layout: Layout, credentials: Path) -> None:
    with (
        TlsServer(server_context(layout, asks=True), who) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
        connected(local) as connection,
    ):
        connection.sendall(b"?")
        assert read_all(connection) == b"anna TLSv1.3"
        assert local.trouble is None


@pytest.mark.parametrize("enrolled", [True, False])
def test_a_server_that_asks_for_no_certificate_gets_none(
    layout: Layout, credentials: Path, enrolled: bool
) -> None:
    with (
        TlsServer(server_context(layout), who) as server,
        TlsForwarder(
            f"127.0.0.1:{server.port}", layout.ca_certificate, credentials if enrolled else None
        ) as local,
        connected(local) as connection,
    ):
        connection.sendall(b"?")
        assert read_all(connection) == b"nobody TLSv1.3"


def test_a_server_of_another_authority_gets_no_byte(
    layout: Layout, other: Layout, credentials: Path, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[bytes] = []
    with (
        TlsServer(server_context(other), lambda end: got.append(end.recv(1))) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        for _ in range(3):
            trouble = refused(local)
    assert trouble.startswith(f"the server at localhost:{server.port} is not the one that ")
    assert got == []
    assert caplog.messages == [trouble], "the same reason is told once"


def test_a_server_with_another_name_gets_no_byte(layout: Layout, credentials: Path) -> None:
    got: list[bytes] = []
    with (
        TlsServer(server_context(layout), lambda end: got.append(end.recv(1))) as server,
        TlsForwarder(f"127.0.0.2:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        assert "IP address mismatch, certificate is not valid for '127.0.0.2'" in refused(local)
    assert got == []


def test_a_missing_or_foreign_certificate_is_told_as_such(
    layout: Layout, other: Layout, tmp_path: Path
) -> None:
    foreign = enrolled(other, "mallory", tmp_path)
    reasons = {None: "certificate required", foreign: "unknown ca"}
    with TlsServer(server_context(layout, asks=True), who) as server:
        for shown, reason in reasons.items():
            with TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, shown) as local:
                trouble = refused(local)
            assert "refuses this participant's certificate" in trouble
            assert reason in trouble


def test_older_tls_is_not_spoken(layout: Layout, credentials: Path) -> None:
    context = server_context(layout)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        TlsServer(context, who) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        assert f"no TLS 1.3 with the server at localhost:{server.port}" in refused(local)


def test_a_replaced_certificate_is_used_from_the_next_connection_on(
    layout: Layout, tmp_path: Path
) -> None:
    credentials = enrolled(layout, "before", tmp_path)
    with (
        TlsServer(server_context(layout, asks=True), who) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        for name in ("before", "after"):
            if name == "after":
                enrolled(layout, name, tmp_path).replace(credentials)
            with connected(local) as connection:
                connection.sendall(b"?")
                assert read_all(connection) == f"{name} TLSv1.3".encode()


# -- bytes ---------------------------------------------------------------------------------------


def test_large_transfers_both_ways_at_once_are_unchanged(layout: Layout, credentials: Path) -> None:
    sent = os.urandom(32 * MIB)
    with (
        TlsServer(server_context(layout, asks=True), echo) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        got = asyncio.run(_send_and_read(local, sent))
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


async def _send_and_read(local: TlsForwarder, content: bytes) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(local.ca)
    reader, writer = await asyncio.open_connection(*split_address(local.address), ssl=context)

    async def send() -> None:
        for start in range(0, len(content), MIB):
            writer.write(content[start : start + MIB])
            await writer.drain()

    sending = asyncio.create_task(send())
    got = await reader.readexactly(len(content))
    await sending
    writer.close()
    return got


@pytest.mark.parametrize("goodbye", [True, False], ids=["close_notify", "no close_notify"])
def test_what_a_server_sends_before_its_end_arrives(
    layout: Layout, credentials: Path, goodbye: bool
) -> None:
    content = os.urandom(4 * MIB)

    def send_and_end(connection: ssl.SSLSocket) -> None:
        connection.recv(1)
        connection.sendall(content)
        if goodbye:
            connection.unwrap()

    with (
        TlsServer(server_context(layout), send_and_end) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
        connected(local) as connection,
    ):
        connection.sendall(b"?")
        time.sleep(0.5)  # the server is done by then, and the forwarder holds what nobody read yet
        assert read_all(connection) == content


def test_what_a_client_sends_before_its_end_arrives(layout: Layout, credentials: Path) -> None:
    content, got, ended = os.urandom(4 * MIB), bytearray(), threading.Event()

    def read_slowly(connection: ssl.SSLSocket) -> None:
        time.sleep(0.3)
        got.extend(read_all(connection))
        ended.set()

    with (
        TlsServer(server_context(layout), read_slowly) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        with connected(local) as connection:
            connection.sendall(content)
            connection.unwrap()
        assert ended.wait(20), "the server was not told of the end"
    assert bytes(got) == content


def test_a_client_that_does_not_read_is_not_read_for(layout: Layout, credentials: Path) -> None:
    sent = 0

    def send_for_ever(connection: ssl.SSLSocket) -> None:
        nonlocal sent
        while True:
            connection.sendall(bytes(64 << 10))
            sent += 64 << 10

    with (
        TlsServer(server_context(layout), send_for_ever) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
        connected(local),
    ):
        before = -1
        while sent != before or sent == 0:
            before = sent
            time.sleep(0.5)
        # What two sockets' buffers of the system take; a forwarder that keeps reading takes all.
        assert MIB // 16 <= sent < 32 * MIB


def test_many_connections_at_once(layout: Layout, credentials: Path) -> None:
    def call(number: int) -> bool:
        message = f"{number} ".encode() * 1000
        with connected(local) as connection:
            everybody.wait(20)  # all of them are open at the same time
            connection.sendall(message)
            got = b""
            while len(got) < len(message):
                got += connection.recv(64 << 10)
        return got == message

    everybody = threading.Barrier(60)
    with (
        TlsServer(server_context(layout, asks=True), echo) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
        ThreadPoolExecutor(60) as threads,
    ):
        assert all(threads.map(call, range(60)))


# -- a server that goes and comes ----------------------------------------------------------------


def test_a_server_that_is_away_is_told_and_found_when_it_is_back(
    layout: Layout, credentials: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with TlsForwarder(f"127.0.0.1:{port}", layout.ca_certificate, credentials) as local:
        assert refused(local).startswith(f"no connection to 127.0.0.1:{port}: ")
        with TlsServer(server_context(layout, asks=True), who, port), connected(local) as found:
            found.sendall(b"?")
            assert read_all(found) == b"anna TLSv1.3"
            assert local.trouble is None
        assert refused(local)
    assert len(caplog.messages) == 2


def test_an_end_that_was_expected_is_not_told(
    layout: Layout, credentials: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with TlsForwarder(f"127.0.0.1:{free_port()}", layout.ca_certificate, credentials) as local:
        local.expect_end()
        assert refused(local)
    assert caplog.messages == []


def test_a_server_that_dies_in_a_call_ends_the_call(layout: Layout, credentials: Path) -> None:
    def die(connection: ssl.SSLSocket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with (
        TlsServer(server_context(layout), die) as server,
        TlsForwarder(f"127.0.0.1:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        assert "Connection reset by peer" in refused(local)


def test_a_host_that_does_not_exist_is_told(layout: Layout, credentials: Path) -> None:
    with TlsForwarder("nowhere.invalid:443", layout.ca_certificate, credentials) as local:
        assert refused(local).startswith("no connection to nowhere.invalid:443: ")


# -- on this machine -----------------------------------------------------------------------------


def test_nothing_is_left_and_no_key_was_there(layout: Layout, credentials: Path) -> None:
    with (
        TlsServer(server_context(layout), echo) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
        connected(local) as connection,
    ):
        folder = local.ca.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(folder.iterdir()) == [local.ca]
        assert b"PRIVATE" not in local.ca.read_bytes()
        connection.sendall(b"?")
        assert connection.recv(1) == b"?"
        local.__exit__()
        assert connection.recv(1) == b"", "an open connection outlives the forwarder"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(split_address(local.address), timeout=5)
        assert not folder.exists()
        local.__enter__()


def test_two_forwarders_do_not_believe_each_other(layout: Layout, credentials: Path) -> None:
    server = ("localhost:1", layout.ca_certificate, credentials)
    with TlsForwarder(*server) as one, TlsForwarder(*server) as two:
        context = ssl.create_default_context(cafile=str(one.ca))
        with (
            socket.create_connection(split_address(two.address), timeout=5) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_is_turned_away(layout: Layout, credentials: Path) -> None:
    connect = (
        "import os, socket, ssl, sys\n"
        "context = ssl.create_default_context(cadata=sys.argv[3])\n"
        "'what others cannot import'.encode('idna')\n"
        "os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n"
        "plain = socket.create_connection(('127.0.0.1', int(sys.argv[2])), timeout=10)\n"
        "secure = context.wrap_socket(plain, server_hostname='127.0.0.1')\n"
        "secure.sendall(b'?'); print(secure.recv(1))"
    )
    answers = {}
    with (
        TlsServer(server_context(layout, asks=True), echo) as server,
        TlsForwarder(f"localhost:{server.port}", layout.ca_certificate, credentials) as local,
    ):
        port = local.address.rpartition(":")[2]
        for user in ("0", "65534"):
            command = [sys.executable, "-c", connect, user, port, local.ca.read_text()]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
            answers[user] = done.stdout.strip()
    assert answers == {"0": "b'?'", "65534": "b''"}


def test_users_are_told_apart_by_the_systems_table(tmp_path: Path) -> None:
    here = [f"{int.from_bytes(socket.inet_aton('127.0.0.1'), sys.byteorder):08X}:1F90"]
    mine, theirs = (f"{here[0][:-4]}{port:04X}" for port in (40000, 40001))
    queue = "01 00000000:00000000 00:00000000 00000000"
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
        f"   0: {mine} {here[0]} {queue} {os.geteuid()} 0 1\n"
        f"   1: {theirs} {here[0]} {queue} {os.geteuid() + 1} 0 2\n"
    )
    server = ("127.0.0.1", 8080)
    assert is_own_peer(("127.0.0.1", 40000), server, table)
    assert not is_own_peer(("127.0.0.1", 40001), server, table)
    assert not is_own_peer(("127.0.0.1", 40002), server, table), "one that is gone"
    assert is_own_peer(("127.0.0.1", 40002), server, tmp_path / "not Linux")


def test_files_that_cannot_be_used_are_told_at_the_start(
    layout: Layout, credentials: Path, tmp_path: Path
) -> None:
    loose = tmp_path / "loose.pem"
    loose.write_bytes(credentials.read_bytes())
    loose.chmod(0o644)
    cases = (
        (layout.ca_certificate, loose, AccessError, "may be used by others"),
        (layout.ca_certificate, tmp_path / "none.pem", NotEnrolledError, "cannot be used"),
        (tmp_path / "none.pem", credentials, InputError, "not a PEM certificate"),
        (credentials.parent, credentials, InputError, "not a PEM certificate"),
    )
    for ca, shown, error, text in cases:
        with pytest.raises(error, match=text), TlsForwarder("localhost:1", ca, shown):
            pass
    with pytest.raises(InputError, match="not an address"), TlsForwarder("localhost", loose, None):
        pass
