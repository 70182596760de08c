"""What `join` makes of the server's answers, with real TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from fixtures_tls import TlsServer, enrolled, server_context

from blindfit.errors import AccessError
from blindfit.flower_process import free_port
from client_app import fleet_probe
from client_app.fleet_probe import takes_calls
from server_app.home import create_home
from server_app.layout import Layout

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return create_home(tmp_path_factory.mktemp("server") / "home", [])


def ask(layout: Layout, answer: bytes) -> bool:
    def handle(connection: ssl.SSLSocket) -> None:
        connection.recv(64 << 10)
        connection.sendall(answer)

    with TlsServer(server_context(layout), handle) as server:
        return takes_calls(f"localhost:{server.port}", layout.ca_certificate, None)


def response(status: int, body: str = "") -> bytes:
    return f"HTTP/1.1 {status} Why\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (response(401), True),
        *((response(status), False) for status in (500, 502, 503, 504)),
        (b"", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"HTTP/1.1 ", False),
    ],
)
def test_only_a_superlink_is_one(layout: Layout, answer: bytes, there: bool) -> None:
    assert ask(layout, answer) is there


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (response(400, '{"code": 0, "detail": "certificate revoked"}'), "refuses: certificate rev"),
        (response(400, '{"code": 0}'), "refuses: Why"),
        (response(400, "[]"), "refuses: Why"),
        (response(400, "<html>"), "refuses: Why"),
        (response(404), "serves no training: it answers 404"),
        (response(302), "serves no training: it answers 302"),
    ],
)
def test_waiting_for_another_server_is_of_no_use(layout: Layout, answer: bytes, text: str) -> None:
    with pytest.raises(AccessError, match=text) as raised:
        ask(layout, answer)
    assert raised.value.hint


def test_a_server_of_another_authority_is_not_asked(layout: Layout, tmp_path: Path) -> None:
    other = create_home(tmp_path / "other", [])
    got: list[bytes] = []
    with TlsServer(server_context(other), lambda end: got.append(end.recv(1))) as server:
        address = f"localhost:{server.port}"
        with pytest.raises(AccessError, match=r"not the one that .* vouches for") as raised:
            takes_calls(address, layout.ca_certificate, None)
    assert "compare the address" in raised.value.hint
    assert got == []


def test_a_server_that_refuses_in_tls_is_told_apart(layout: Layout, tmp_path: Path) -> None:
    other = create_home(tmp_path / "other", [])
    mallory = enrolled(other, "mallory", tmp_path)
    with TlsServer(server_context(layout, asks=True), lambda end: None) as server:
        for shown, reason in ((None, "certificate required"), (mallory, "unknown ca")):
            with pytest.raises(AccessError, match=f"refuses this .* certificate: .*{reason}"):
                takes_calls(f"localhost:{server.port}", layout.ca_certificate, shown)


def test_nobody_and_somebody_silent_are_waited_for(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_probe, "_SECONDS", 0.3)
    assert not takes_calls(f"localhost:{free_port()}", layout.ca_certificate, None)
    assert not takes_calls("nowhere.invalid:443", layout.ca_certificate, None)
    with TlsServer(server_context(layout), lambda end: end.recv(9999) and end.recv(1)) as server:
        assert not takes_calls(f"localhost:{server.port}", layout.ca_certificate, None)
