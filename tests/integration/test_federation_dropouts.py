"""Real SuperNodes that die at every stage of a round, and come back; a coordinator that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fixtures_federation import (
    Participants,
    digits_parts,
    digits_study,
    federation_tls,  # noqa: F401 - a fixture
    flower_processes,
)
from sklearn.datasets import load_digits

from blindfit.events import EventReader
from blindfit.flower_process import free_port
from blindfit.study import load_study
from keys.participant import ensure_participant_key
from server_app.superlink import Tls
from server_app.training_run import last_run, new_run, train_federated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
NAMES = ["anna", "berta", "carla"]
FAULTY = str(Path(__file__).with_name("faulty_join.py"))
# Where carla dies: the first round begins with keys and shares of its own; confirmations are asked
# for only after a dropout, so berta's machine dies before carla's there.
DEATHS = ["advertise", "share", "contribute", "reveal"]


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def participants(tmp_path: Path, federation_tls: Tls, address: str) -> Iterator[Participants]:  # noqa: F811
    joined = Participants(tmp_path, federation_tls, address)
    yield joined
    joined.end()
    gone = time.monotonic() + 20
    while flower_processes(tmp_path) and time.monotonic() < gone:
        time.sleep(0.5)
    assert flower_processes(tmp_path) == [], "processes outlive the test"


def test_a_participant_dies_at_each_stage_and_comes_back(
    tmp_path: Path,
    federation_tls: Tls,  # noqa: F811
    address: str,
    participants: Participants,
) -> None:
    """Carla's machine is killed at a stage of its first round, joins again, and so on."""
    # Rounds begin with all three, and go on with two.
    study = digits_study(tmp_path, rounds=5, needed=3, round_timeout=15, join_timeout=120)
    parts = digits_parts(tmp_path, 3)
    roster = participants.roster(NAMES)
    for name, rows in zip(NAMES[:2], parts, strict=False):
        participants.join(name, study, rows)
    carla = _Mortal(participants, study, parts[2])
    run = new_run(tmp_path, load_study(study), roster)
    try:
        train_federated(run, address, federation_tls, lambda event: None)
    finally:
        carla.stop()

    history = run.history()
    assert [line["round"] for line in history] == [1, 2, 3, 4, 5]
    assert all({"anna", "berta"} <= set(line["participants"]) for line in history)
    # How many deaths fit into five rounds depends on how fast this machine starts a SuperNode.
    assert carla.died >= 1
    assert any("carla" in line["refused"] for line in history)
    X, y = load_digits(return_X_y=True)
    assert run.model().score(X[1400:] / 16, y[1400:]) > 0.88


class _Mortal:
    """Carla: joins again whenever its machine died, to die at the next of `DEATHS`."""

    def __init__(self, participants: Participants, study: Path, rows: Path) -> None:
        self._participants, self._study, self._rows = participants, study, rows
        self._deaths = iter(DEATHS)
        self._stopping = threading.Event()
        self.died = 0
        self._join()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(0.5):
            if self._participants.process("carla").poll() == -signal.SIGKILL:
                self.died += 1
                self._join()

    def _join(self) -> None:
        at = next(self._deaths, None)
        os.environ["DIE_AT"] = at or ""
        program = ("-m", "client_app.cli") if at is None else (FAULTY,)
        self._participants.join("carla", self._study, self._rows, program)


def test_a_killed_coordinator_goes_on_and_participants_of_a_killed_join_leave_nothing(
    tmp_path: Path,
    federation_tls: Tls,  # noqa: F811
    address: str,
    participants: Participants,
) -> None:
    study = digits_study(tmp_path, rounds=4, needed=2, round_timeout=40, join_timeout=120)
    parts = digits_parts(tmp_path, 3)
    for name in NAMES:
        (tmp_path / f"{name}.pub").write_text(ensure_participant_key(tmp_path / name))
    for name, rows in zip(NAMES, parts, strict=True):
        participants.join(name, study, rows)
    roster = participants.roster(NAMES)
    run = new_run(tmp_path / "server", load_study(study), roster)
    coordinator = _coordinate(run.path, address, federation_tls)
    events = EventReader(run.events)
    _wait_for(events, "round_aggregated", 120)
    os.kill(coordinator.pid, signal.SIGKILL)
    coordinator.wait()
    os.kill(participants.process("carla").pid, signal.SIGKILL)
    first = run.history()
    assert first[0]["participants"] == NAMES
    _nobody_left(run.path)

    again = last_run(tmp_path / "server", load_study(study))
    assert again.path == run.path
    begun = again.begun
    train_federated(again, address, federation_tls, lambda event: None)
    history = again.history()
    assert [line["round"] for line in history] == [1, 2, 3, 4]
    assert history[0]["seconds"] == first[0]["seconds"], "a finished round was done again"
    assert history[3]["participants"] == ["anna", "berta"]
    assert again.begun > begun
    for name in ("anna", "berta"):
        code, out, err = participants.wait(name)
        assert code == 0, err
        assert json.loads(out)["rounds"] >= 4


def _coordinate(run: Path, address: str, tls: Tls) -> subprocess.Popen[bytes]:
    program = """
import sys
from pathlib import Path
from server_app.run_folder import RunFolder
from server_app.superlink import Tls
from server_app.training_run import train_federated
run, address, *tls = sys.argv[1:]
train_federated(RunFolder(Path(run)), address, Tls(*map(Path, tls)), lambda event: None)
"""
    files = (str(tls.ca), str(tls.certificate), str(tls.key))
    return subprocess.Popen([sys.executable, "-c", program, str(run), address, *files])


def _wait_for(events: EventReader, name: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(event["event"] == name for event in events.read()):
            return
        time.sleep(0.1)
    raise AssertionError(f"no {name} within {seconds} s")


def _nobody_left(run: Path) -> None:
    """Flower's processes of the killed coordinator end by themselves."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [p for p in psutil.process_iter(["cmdline"]) if _is_of(p, run)]
        if not left:
            return
        time.sleep(0.5)
    raise AssertionError(f"left: {[p.cmdline() for p in left]}")


def _is_of(process: psutil.Process, run: Path) -> bool:
    try:
        return process.environ().get("FLWR_HOME", "").startswith(str(run))
    except psutil.Error:
        return False


def test_a_server_that_ships_another_app_gets_a_refusal_and_the_join_ends(
    tmp_path: Path,
    federation_tls: Tls,  # noqa: F811
    address: str,
    participants: Participants,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same app but for one byte of its description."""
    from flwr.cli.build import build_fab_from_files

    from blindfit.errors import TrainingError
    from server_app import control

    text = (control.APP_FOLDER / "pyproject.toml").read_bytes().replace(b"training", b"Training")
    other = build_fab_from_files({"pyproject.toml": text})[0]
    monkeypatch.setattr(control, "build_app", lambda: other)
    study = digits_study(tmp_path, rounds=1, needed=2, round_timeout=20)
    parts = digits_parts(tmp_path, 2)
    roster = participants.roster(["anna", "berta"])
    for name, rows in zip(("anna", "berta"), parts, strict=True):
        participants.join(name, study, rows)
    run = new_run(tmp_path, load_study(study), roster)
    with pytest.raises(TrainingError, match="runs only the app"):
        train_federated(run, address, federation_tls, lambda event: None)
    for name in ("anna", "berta"):
        code, _, err = participants.wait(name)
        assert code == 5, err
        assert "the server shipped" in err
        assert "trained on" not in err
