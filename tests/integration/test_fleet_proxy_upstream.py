"""What the shipped nginx configuration hands on, keeps back and tells: the real nginx."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from fixtures_proxy import SHIPPED, Caller, Nginx, post, statuses, substituted
from fixtures_tls import enrolled
from fixtures_tricks import CALL
from fixtures_upstream import ANSWER, Place, Upstream

from blindfit.flower_process import free_port
from client_app.fleet_probe import takes_calls
from server_app.home import create_home
from server_app.layout import Layout
from server_app.revocation_list import revocation_list

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
MIB = 1 << 20
PUSH = "/v1/fleet/push-messages"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path_factory.mktemp("upstream"), stack)


@pytest.fixture(scope="module")
def anna(place: Place) -> Path:
    return place.enroll("anna")


def test_only_marked_values_are_to_be_changed() -> None:
    """Nothing of one machine stands on a line that does not say so."""
    text = SHIPPED.read_text()
    values = {"/srv/blindfit": "A", "127.0.0.1:8444": "B", "listen 8443": "C", "/var/log": "D"}
    settings = "\n".join(line.partition("#")[0] for line in substituted(text, values).splitlines())
    assert not re.search(r"/srv|/var|/etc|\b\d{4,5}\b|\d+\.\d+\.\d+\.\d+", settings)


# -- what is handed on ---------------------------------------------------------------------------


def test_a_call_is_handed_on_without_what_a_participant_could_feign(
    place: Place, anna: Path
) -> None:
    feigned = (
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: http",
        "Forwarded: for=10.0.0.1",
        "Authorization: Bearer x",
        "Cookie: x=y",
        "Upgrade: websocket",
        "TE: trailers",
        "Expect: 100-continue",
    )
    signed = ("flwr-public-key: abc=", "flwr-timestamp: 2026-01-01T00:00:00+00:00")
    request = post(CALL, *feigned, *signed, host="Host: example.org:1", body=b"\x0a\x02id")
    answer = place.caller(anna).send(request)
    assert statuses(answer)[-1] == 200
    assert answer.endswith(b"fine")
    head, size = place.upstream.requests[-1]
    start, *headers = head.split("\r\n")
    assert start == f"POST {CALL} HTTP/1.1"
    assert size == 4
    assert sorted(headers) == sorted(
        (
            "Host: localhost",
            "Connection: close",
            "Content-Length: 4",
            "Content-Type: application/protobuf",
            *signed,
        )
    )


def test_large_bodies_pass_and_touch_no_disk(place: Place, anna: Path) -> None:
    """Updates are in them: nginx must not leave one in a temporary file."""
    body = os.urandom(16 * MIB)
    large = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    chunks = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    head = post(PUSH, "Connection: close")
    chunked = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + chunks
    place.upstream.answer = large
    try:
        for request in (post(PUSH, "Connection: close", body=body), chunked):
            assert place.caller(anna).send(request, idle=5).endswith(body)
            assert place.upstream.requests[-1][1] == len(body)
    finally:
        place.upstream.answer = ANSWER
    # nginx says so when it buffers to a file, and when it has a file to remove.
    assert "temporary file" not in (place.nginx.folder / "error.log").read_text()


@pytest.mark.parametrize("chunked", [False, True])
def test_larger_bodies_are_refused(place: Place, anna: Path, chunked: bool) -> None:
    body = bytes(16 * MIB + 1)
    if chunked:
        head = post(PUSH).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        request = head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    else:
        request = post(PUSH, body=body)
    before = len(place.upstream.requests)
    with place.caller(anna).connect() as connection:
        with suppress(OSError):  # it does not read what it has refused
            connection.sendall(request)
        assert connection.recv(12) == b"HTTP/1.1 413"
    assert len(place.upstream.requests) == before


def test_the_log_says_who_called_what_and_no_more(place: Place, anna: Path) -> None:
    secrets = ("header-that-signs", "bytes-of-an-update")
    place.caller(anna).send(post(CALL, f"X-Signature: {secrets[0]}", body=secrets[1].encode()))
    place.caller(anna).send(post("/v1/control/start-run", body=secrets[1].encode()))
    pattern = r'\S+ 127\.0\.0\.1 "CN=anna" [0-9A-F]+ "POST (\S+)" (\d+) \d+ \d+ [\d.]+'
    told = [re.fullmatch(pattern, line) for line in place.nginx.lines()[-2:]]
    assert [match and match.groups() for match in told] == [
        (CALL, "200"),
        ("/v1/control/start-run", "404"),
    ]
    for file in place.nginx.folder.rglob("*"):
        if file.is_file():
            assert not [secret for secret in secrets if secret in file.read_text()], file


# -- what is told --------------------------------------------------------------------------------


def test_an_error_of_the_superlink_says_nothing_about_it(place: Place, anna: Path) -> None:
    for status in (500, 502, 503, 504):
        text = b"Traceback in /srv/secret/place.py"
        place.upstream.answer = (
            b"HTTP/1.1 %d Oh\r\nServer: uvicorn\r\nX: secret\r\nContent-Length: %d\r\n\r\n"
            % (status, len(text))
            + text
        )
        answer = place.caller(anna).send(post(CALL))
        assert statuses(answer) == [status]
        assert b"secret" not in answer
        assert b"uvicorn" not in answer
    place.upstream.answer = ANSWER


def test_what_flower_says_to_a_supernode_is_handed_on(place: Place, anna: Path) -> None:
    """A SuperNode acts on these: 401 and 412 say that the SuperLink does not know it."""
    for status in (400, 401, 403, 404, 412):
        text = b'{"code":1,"detail":"x"}'
        place.upstream.answer = (
            b"HTTP/1.1 %d Oh\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text
        )
        assert place.caller(anna).call(CALL) == (status, text.decode())
    place.upstream.answer = ANSWER


def test_no_training_is_told_as_such_and_found_when_there_is_one(tmp_path: Path) -> None:
    layout, port = home_with_list(tmp_path / "home"), free_port()
    anna = enrolled(layout, "anna", tmp_path)
    with Nginx(layout, tmp_path / "nginx", port) as nginx:
        server = (nginx.address, layout.ca_certificate, anna)
        status, text = Caller(nginx.port, layout.ca_certificate, anna).call(CALL)
        assert (status, "no training runs here now" in text) == (502, True)
        assert not takes_calls(*server)
        with Upstream(layout, port) as upstream:
            upstream.answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
            assert takes_calls(*server)
        assert not takes_calls(*server)


def test_another_server_on_the_superlinks_port_gets_no_call(tmp_path: Path) -> None:
    """Any user of the machine can take the port while no training runs."""
    layout, other = home_with_list(tmp_path / "home"), create_home(tmp_path / "other", [])
    anna = enrolled(layout, "anna", tmp_path)
    with Upstream(other) as upstream, Nginx(layout, tmp_path / "nginx", upstream.port) as nginx:
        assert Caller(nginx.port, layout.ca_certificate, anna).call(CALL)[0] == 502
        assert upstream.requests == []


def home_with_list(home: Path) -> Layout:
    layout = create_home(home, [])
    layout.ca_certificate.with_name("crl.pem").write_bytes(revocation_list(home, []))
    return layout


# -- how much ------------------------------------------------------------------------------------


def test_one_participant_cannot_take_all_connections(place: Place, anna: Path) -> None:
    berta = place.enroll("berta")
    before = len(place.upstream.requests)
    place.upstream.go.clear()
    with ThreadPoolExecutor(25) as threads:
        try:
            calls = [threads.submit(place.caller(anna).call, CALL) for _ in range(24)]
            wait_until(lambda: sum(call.done() for call in calls) == 8)
            wait_until(lambda: len(place.upstream.requests) == before + 16)
            other = threads.submit(place.caller(berta).call, CALL)
            wait_until(lambda: len(place.upstream.requests) == before + 17)
        finally:
            place.upstream.go.set()
        answers = sorted(call.result()[0] for call in calls)
        assert answers == [200] * 16 + [503] * 8  # SuperNodes try again after a 503
        assert other.result() == (200, "fine")


def test_one_participant_cannot_make_all_calls(tmp_path: Path) -> None:
    """A SuperNode makes ten a second; of far more, most do not get to where the SuperLink is."""
    layout = home_with_list(tmp_path / "home")
    anna, berta = (enrolled(layout, name, tmp_path) for name in ("anna", "berta"))
    with Nginx(layout, tmp_path / "nginx", free_port()) as nginx:
        calls = Caller(nginx.port, layout.ca_certificate, anna).send(post(CALL) * 600, idle=2)
        answers = statuses(calls)
        assert len(answers) == 600
        assert answers[:100] == [502] * 100, "there is no SuperLink"
        assert set(answers[100:]) == {502, 503}
        assert answers.count(503) > 300
        assert Caller(nginx.port, layout.ca_certificate, berta).call(CALL)[0] == 502


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
