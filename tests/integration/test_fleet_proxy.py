"""The shipped nginx configuration, in a real nginx, in front of a real SuperLink.

What reached the SuperLink is read in the SuperLink's own log, and not guessed from an answer.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from fixtures_proxy import Caller, Nginx, find_nginx, post, statuses
from fixtures_tls import enrolled
from fixtures_traffic import (
    control_client,
    doubling,
    online,
    start_traffic,
    traffic_app,
    wait_for_traffic,
)
from fixtures_tricks import CONTROL, PASSED, REFUSED
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from blindfit.errors import AccessError
from blindfit.flower_process import free_port
from client_app.fleet_link import FleetLink
from client_app.fleet_probe import takes_calls
from client_app.supernode import SuperNode
from client_app.tls_forwarder import TlsForwarder
from keys.participant import ensure_participant_key, participant_key_path, participant_key_pem
from server_app.home import create_home
from server_app.revocation_list import revocation_list
from server_app.run_folder import RunFolder
from server_app.superlink import SuperLink, Tls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FLEET = (
    "activate-node deactivate-node send-node-heartbeat pull-messages push-messages get-run get-fab"
).split()
OBJECTS = ["push-object", "pull-object", "confirm-message-received"]
MIB = 1 << 20
LARGE = 16 * MIB - (64 << 10)  # of an array; its message is just not too large
_LINE = re.compile(r'"(?P<who>.*)" (?P<serial>\w+) "POST (?P<path>\S+)" (?P<status>\d+) ')


class Deployment:
    """A server's home, its SuperLink on loopback, and nginx in front of it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.layout = create_home(folder / "home", [])
        self.revoke([])
        self.run = RunFolder(folder / "run")
        self.run.path.mkdir()
        self.direct = free_port()
        tls = Tls(self.layout.ca_certificate, self.layout.certificate, self.layout.key)
        self.link = stack.enter_context(SuperLink(self.run, f"127.0.0.1:{self.direct}", tls))
        self.nginx = stack.enter_context(Nginx(self.layout, folder / "nginx", self.direct))
        self.anna = enrolled(self.layout, "anna", folder)

    def revoke(self, serials: list[int]) -> None:
        path = self.layout.ca_certificate.with_name("crl.pem")
        path.write_bytes(revocation_list(self.layout.home, serials))

    def caller(self, credentials: Path | None) -> Caller:
        return Caller(self.nginx.port, self.layout.ca_certificate, credentials)

    def reached(self, act: Callable[[], None]) -> list[str]:
        """The calls that the SuperLink has answered once ``act`` has been done.

        It does not log calls for messages that succeed, for which they have to be signed.
        """
        log = self.run.path / "superlink.log"
        start = log.stat().st_size
        act()
        # What came before a call that is in the log is in the log, too.
        last = Caller(self.direct, self.layout.ca_certificate, None)
        assert last.call("/the-end")[0] == 404
        deadline = time.monotonic() + 10
        while "/the-end" not in (text := log.read_bytes()[start:].decode()):
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        return re.findall(r'uvicorn\.access\] \S+ - "(.+) HTTP/1\.1"', text.split("/the-end")[0])

    def forwarder(self) -> TlsForwarder:
        """What `join` starts for anna."""
        return TlsForwarder(self.nginx.address, self.layout.ca_certificate, self.anna)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    find_nginx()  # rather than start a SuperLink for nothing
    with ExitStack() as stack:
        yield Deployment(tmp_path_factory.mktemp("proxy"), stack)


@pytest.fixture(scope="module")
def key(deployed: Deployment) -> ec.EllipticCurvePrivateKey:
    """By which the SuperLink knows anna's node."""
    home = deployed.folder / "anna"
    with deployed.link.control() as control:
        control.register("anna", ensure_participant_key(home))
    pem = participant_key_pem(participant_key_path(home))
    return cast(ec.EllipticCurvePrivateKey, load_ssh_private_key(pem.encode(), None))


# -- what passes ---------------------------------------------------------------------------------


def test_a_supernode_works_through_forwarder_and_proxy(
    deployed: Deployment, key: ec.EllipticCurvePrivateKey
) -> None:
    log, before = deployed.run.path / "superlink.log", len(deployed.nginx.lines())
    client = control_client(f"127.0.0.1:{deployed.direct}", deployed.layout.ca_certificate)
    app, told = traffic_app(deployed.folder / "traffic", LARGE // 8), []

    with deployed.forwarder() as local:
        node = SuperNode(
            lambda: FleetLink(local.address, local.ca.read_text(), key),
            app.hash_str,
            doubling,
            lambda event, **details: told.append((event, details)),
        )
        with running(node):
            wait_until(lambda: online(client) == ["anna"], log)
            start_traffic(client, app)
            assert wait_for_traffic(deployed.run.path, 90) == {"bytes": LARGE, "right": True}
            assert online(client) == ["anna"]
        assert online(client) == []
        assert local.trouble is None
    client.close()
    assert told == [("admitted", {})]
    # The last call of the app that sent the traffic: other tests look at who called.
    wait_until(lambda: "/v1/runtime/push-task-output" in log.read_text(), log)

    wait_until(lambda: "/deactivate-node" in deployed.nginx.lines()[-1], log)
    lines = deployed.nginx.lines()[before:]
    calls = [entry.groupdict() for entry in map(_LINE.search, lines) if entry is not None]
    assert len(calls) == len(lines)
    assert {call["path"] for call in calls} == {f"/v1/fleet/{name}" for name in FLEET}
    assert {call["who"] for call in calls} == {"CN=anna"}
    assert {int(call["serial"], 16) for call in calls} == {serial_of(deployed.anna)}
    assert {call["status"] for call in calls} == {"200"}


@contextmanager
def running(node: SuperNode) -> Iterator[None]:
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(node.run, stopped.is_set)
        try:
            yield
        finally:
            stopped.set()
    ended.result()


def test_a_message_over_the_limit_is_refused_and_the_link_says_so(
    deployed: Deployment, key: ec.EllipticCurvePrivateKey
) -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    content = RecordDict({"large": ArrayRecord([np.zeros(16 * MIB // 8)])})
    with (
        deployed.forwarder() as local,
        FleetLink(local.address, local.ca.read_text(), key) as link,
    ):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            link.send(Message(content, link.node_id, "query"), 0)
        assert caught.value.response.status_code == 413
        assert "nginx" in caught.value.response.text
        assert link.receive() is None, "the link goes on"


def wait_until(happened: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.2)


def serial_of(credentials: Path) -> int:
    return x509.load_pem_x509_certificate(credentials.read_bytes()).serial_number


@pytest.mark.parametrize("call", FLEET)
def test_each_fleet_call_reaches_the_superlink(deployed: Deployment, call: str) -> None:
    path, answers = f"/v1/fleet/{call}", []

    def act() -> None:
        answers.append(deployed.caller(deployed.anna).call(path))

    assert deployed.reached(act) == [f"POST {path}"]
    # The SuperLink's own answer to whom has no node's signature.
    assert answers == [(401, '{"detail":"Invalid SuperNode authentication"}')]


def test_the_probe_of_join_tells_what_is_there(deployed: Deployment) -> None:
    ca = deployed.layout.ca_certificate
    direct = f"localhost:{deployed.direct}"
    assert takes_calls(deployed.nginx.address, ca, deployed.anna)
    assert takes_calls(direct, ca, deployed.anna)
    assert takes_calls(direct, ca, None)
    assert not takes_calls(f"localhost:{free_port()}", ca, deployed.anna)
    with pytest.raises(AccessError, match=r"a certificate of an enrolled participant .*\(NONE\)"):
        takes_calls(deployed.nginx.address, ca, None)


# -- what does not -------------------------------------------------------------------------------


def test_the_superlinks_log_shows_what_reaches_it(deployed: Deployment) -> None:
    """Without the proxy all of this is there for anybody: else the tests below show nothing."""
    anybody = Caller(deployed.direct, deployed.layout.ca_certificate, None)

    def act() -> None:
        assert anybody.call(CONTROL)[0] == 200
        assert anybody.call("/v1/control/start-run")[0] != 404
        assert anybody.call("/v1/runtime/get-nodes")[0] == 401
        assert anybody.call("/v1/fleet/register-node")[0] == 401
        assert anybody.call("/docs", method="GET")[0] == 200

    assert deployed.reached(act) == [
        f"POST {CONTROL}",
        "POST /v1/control/start-run",
        "POST /v1/runtime/get-nodes",
        "POST /v1/fleet/register-node",
        "GET /docs",
    ]
    # The one call that it answers without a line in its log.
    assert anybody.call("/health", method="GET")[0] == 200
    assert deployed.caller(deployed.anna).call("/health", method="GET")[0] == 404


def test_of_all_that_the_superlink_serves_seven_calls_pass(deployed: Deployment) -> None:
    """The list is the SuperLink's own: a later Flower with another fleet call fails here."""
    text = Caller(deployed.direct, deployed.layout.ca_certificate, None).call(
        "/openapi.json", method="GET"
    )[1]
    routes = {(m.upper(), path) for path, ms in json.loads(text)["paths"].items() for m in ms}
    fleet = {name for _, path in routes if (name := path.removeprefix("/v1/fleet/")) != path}
    assert fleet == {*FLEET, *OBJECTS, "register-node", "unregister-node"}
    assert len(routes) > 70
    others = sorted(routes - {("POST", f"/v1/fleet/{name}") for name in FLEET})
    answers: list[bytes] = []

    def act() -> None:
        requests = b"".join(post(path, method=method) for method, path in others)
        answers.append(deployed.caller(deployed.anna).send(requests))

    assert deployed.reached(act) == []
    assert statuses(answers[0]) == [404] * len(others)


@pytest.mark.parametrize("trick", REFUSED)
def test_nothing_else_reaches_the_superlink(deployed: Deployment, trick: str) -> None:
    request, expected = REFUSED[trick]
    answers: list[bytes] = []
    calls = deployed.reached(
        lambda: answers.append(deployed.caller(deployed.anna).send(request, 0.1))
    )
    assert calls == []
    got = statuses(answers[0])
    assert len(got) == 1, answers[0]
    assert got[0] in expected, answers[0]
    assert b"uvicorn" not in answers[0]


@pytest.mark.parametrize("trick", PASSED)
def test_what_is_wrapped_around_a_call_stays_behind(deployed: Deployment, trick: str) -> None:
    request, reached, expected = PASSED[trick]
    answers: list[bytes] = []
    calls = deployed.reached(lambda: answers.append(deployed.caller(deployed.anna).send(request)))
    assert calls == [f"POST {path}" for path in reached]
    assert statuses(answers[0]) == expected, answers[0]
