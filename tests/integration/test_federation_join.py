"""`join` and the server it meets, or does not meet."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_federation import (
    Participants,
    digits_parts,
    digits_study,
    flower_processes,
    make_tls,
)

from blindfit.errors import AccessError, UnavailableError
from blindfit.flower_process import free_port
from blindfit.roster import make_roster
from blindfit.study import load_study
from client_app.node import Participation, take_part
from keys.participant import ensure_participant_key, participant_key_path
from server_app.run_folder import RunFolder
from server_app.superlink import SuperLink, Tls


@pytest.fixture
def tls_server(federation_tls: Tls) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(federation_tls.certificate, federation_tls.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except (ssl.SSLError, OSError):
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def participation(folder: Path, study: Path, data: Path, server: str, ca: Path) -> Participation:
    home = folder / "home"
    ensure_participant_key(home)
    key = participant_key_path(home)
    return Participation(home, study, data, "error", server, ca, key)


def test_a_server_of_another_authority_ends_the_join_at_once(
    tls_server: str, tmp_path: Path
) -> None:
    other = Tls(tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key")
    make_tls(other)
    study, data = digits_study(tmp_path, rounds=1, needed=1), digits_parts(tmp_path, 1)[0]
    here = participation(tmp_path, study, data, tls_server, other.ca)
    started = time.monotonic()
    with pytest.raises(AccessError, match=r"is not the one that .*ca\.pem vouches for"):
        take_part(here, lambda event: None)
    assert time.monotonic() - started < 20, "it waited for the study's join_timeout"


def test_no_server_ends_the_join_after_its_bound(tmp_path: Path, federation_tls: Tls) -> None:
    study = digits_study(tmp_path, rounds=1, needed=1, join_timeout=1.5)
    data = digits_parts(tmp_path, 1)[0]
    address = f"127.0.0.1:{free_port()}"
    told: list[str] = []
    here = participation(tmp_path, study, data, address, federation_tls.ca)
    with pytest.raises(UnavailableError, match=f"no server at {address} within 1.5 s"):
        take_part(here, lambda event: told.append(event["event"]))
    assert told == ["checked", "waiting"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_unknown_key_is_refused_and_sigterm_leaves_no_process(
    tmp_path: Path,
    federation_tls: Tls,
) -> None:
    study = digits_study(tmp_path, rounds=1, needed=2, join_timeout=12)
    data = digits_parts(tmp_path, 1)[0]
    address = f"127.0.0.1:{free_port()}"
    participants = Participants(tmp_path, federation_tls, address)
    keys = participants.public_keys(["anna", "berta"])
    run = RunFolder.create(tmp_path / "run", load_study(study), make_roster(keys))
    try:
        with SuperLink(run, address, federation_tls) as link:
            with link.control() as control:
                control.register("anna", keys["anna"])
            participants.join("anna", study, data)
            participants.join("berta", study, data)

            code, _, err = participants.wait("berta", 90)
            assert code == 8
            assert "does not admit this participant" in err

            anna = participants.process("anna")
            assert anna.poll() is None
            anna.send_signal(signal.SIGTERM)
            assert anna.wait(30) == 130
    finally:
        participants.end()
    assert flower_processes(tmp_path) == []
