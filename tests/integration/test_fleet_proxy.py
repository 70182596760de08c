"""The shipped nginx configuration, in a real nginx, in front of a real SuperLink.

What reached the SuperLink is read in the SuperLink's own log, and not guessed from an answer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from fixtures_proxy import (
    Caller,
    Nginx,
    find_nginx,
    post,
    statuses,
)
from fixtures_tls import enrolled
from fixtures_traffic import control_client, online, start_traffic, wait_for_traffic
from fixtures_tricks import CONTROL, PASSED, REFUSED

from blindfit.errors import AccessError
from blindfit.flower_process import FlowerProcess, free_port
from client_app.fleet_probe import takes_calls
from client_app.tls_forwarder import TlsForwarder
from keys.participant import ensure_participant_key, participant_key_path
from server_app.home import create_home
from server_app.revocation_list import revocation_list
from server_app.run_folder import RunFolder
from server_app.superlink import SuperLink, Tls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FLEET = (
    "activate-node deactivate-node send-node-heartbeat pull-messages push-messages get-run get-fab "
    "push-object pull-object confirm-message-received"
).split()
MIB = 1 << 20
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
        """The calls that the SuperLink has answered once ``act`` has been done."""
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


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    find_nginx()  # rather than start a SuperLink for nothing
    with ExitStack() as stack:
        yield Deployment(tmp_path_factory.mktemp("proxy"), stack)


# -- what passes ---------------------------------------------------------------------------------


def test_a_supernode_works_through_forwarder_and_proxy(deployed: Deployment) -> None:
    anna, folder = deployed.folder / "anna", deployed.folder / "node"
    folder.mkdir()
    public_key = ensure_participant_key(anna)
    client = control_client(f"127.0.0.1:{deployed.direct}", deployed.layout.ca_certificate)
    with deployed.link.control() as control:
        control.register("anna", public_key)

    server = (deployed.nginx.address, deployed.layout.ca_certificate, deployed.anna)
    with (
        TlsForwarder(*server) as local,
        FlowerProcess(
            supernode(local, participant_key_path(anna)),
            folder,
            folder / "supernode.log",
            # A proxy that the machine is set to use is none for what is on the machine.
            environment={"https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"},
        ) as node,
    ):
        wait_until(lambda: online(client) == ["anna"], node.log)
        start_traffic(client, deployed.folder / "traffic", 12 * MIB // 8)
        assert wait_for_traffic(deployed.run.path, 90) == {"bytes": 12 * MIB, "right": True}
        # A node takes back what it took on: the message is confirmed after the last piece.
        wait_until(lambda: "confirm-message" in "".join(deployed.nginx.lines()), node.log)
        assert local.trouble is None
    wait_until(lambda: online(client) == [], node.log)
    client.close()
    # The last call of the app that sent the traffic: other tests look at who called.
    called = deployed.run.path / "superlink.log"
    wait_until(lambda: "/v1/runtime/push-task-output" in called.read_text(), called)

    calls = [entry for entry in map(_LINE.search, deployed.nginx.lines()) if entry is not None]
    assert {call["path"] for call in calls} == {f"/v1/fleet/{name}" for name in FLEET}
    assert {call["who"] for call in calls} == {"CN=anna"}
    serial = certificate_of(deployed.anna).serial_number
    assert {int(call["serial"], 16) for call in calls} == {serial}
    assert {call["status"] for call in calls} == {"200"}


def supernode(local: TlsForwarder, key: Path) -> list[str]:
    return [
        *("flower-supernode", "--superlink", local.address, "--root-certificates", str(local.ca)),
        *("--auth-supernode-private-key", str(key), "--port", str(free_port())),
    ]


def wait_until(happened: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.2)


def certificate_of(credentials: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credentials.read_bytes())


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


def test_of_all_that_the_superlink_serves_ten_calls_pass(deployed: Deployment) -> None:
    """The list is the SuperLink's own: a later Flower with another fleet call fails here."""
    text = Caller(deployed.direct, deployed.layout.ca_certificate, None).call(
        "/openapi.json", method="GET"
    )[1]
    routes = {(m.upper(), path) for path, ms in json.loads(text)["paths"].items() for m in ms}
    fleet = {name for _, path in routes if (name := path.removeprefix("/v1/fleet/")) != path}
    assert fleet == {*FLEET, "register-node", "unregister-node"}
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
