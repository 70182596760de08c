"""Machines that die at every stage of a round, one that comes back, a coordinator that dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path

import numpy as np
import psutil
import pytest
from fixtures_federation import (
    Participants,
    digits_parts,
    digits_study,
)
from numpy.typing import NDArray

from bench.federation import join, train
from blindfit.dataset import load
from blindfit.events import EventReader
from blindfit.study import load_study
from keys.participant import ensure_participant_key
from server_app.superlink import Tls
from server_app.training_run import last_run, new_run, train_federated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
NAMES = ["anna", "berta", "carla"]
# In their order. Survivors are confirmed because somebody died before.
STAGES = ["advertise", "share", "contribute", "confirm", "reveal"]


def test_a_machine_dies_at_every_stage_of_one_round_and_the_sum_is_that_of_the_others(
    tmp_path: Path,
    federation_tls: Tls,
    address: str,
    participants: Participants,
) -> None:
    """Eleven begin, five die, one at each stage; the six that are left are just enough."""
    names = [f"owner-{number:02}" for number in range(11)]
    study = digits_study(tmp_path, rounds=1, needed=11, round_timeout=10, join_timeout=240)
    parts = digits_parts(tmp_path, len(names))
    roster = participants.roster(names)
    for name, rows, die_at in zip_longest(names, parts, STAGES, fillvalue=""):
        participants.join(name, study, rows, die_at=die_at)
    run = new_run(tmp_path, load_study(study), roster)
    train_federated(run, address, federation_tls, lambda event: None)

    dead, contributed = names[:5], names[3:]
    assert [participants.process(name).wait(30) for name in dead] == [-signal.SIGKILL] * 5
    (line,) = run.history()
    assert line["participants"] == contributed
    assert sorted(line["refused"]) == dead
    assert line["rows"] == sum(len(np.load(rows)["X"]) for rows in parts[3:])
    assert line["accuracy"] > 0.9, "those who are left measured the model"
    assert np.allclose(run.model().coef_, _trained_alone(tmp_path, study, parts[3:]), atol=1e-6)
    for name in names[5:]:
        code, _, err = participants.wait(name)
        assert code == 0, err


def _trained_alone(folder: Path, study: Path, parts: list[Path]) -> NDArray[np.float64]:
    """The coefficients when these take part, nobody dies, and updates can be read."""
    readable = folder / "readable.toml"
    text = study.read_text().replace("min_participants = 11", f"min_participants = {len(parts)}")
    readable.write_text(text + "\n[privacy]\nsecure_aggregation = false\n")
    contract = load_study(readable)
    joined = [
        join(folder, contract, f"alone-{i}", load(contract, rows)) for i, rows in enumerate(parts)
    ]
    return np.asarray(train(contract, joined, folder / "alone").model().coef_)


def test_a_killed_coordinator_goes_on_with_a_participant_that_was_killed_and_came_back(
    tmp_path: Path,
    federation_tls: Tls,
    address: str,
    participants: Participants,
) -> None:
    study = digits_study(tmp_path, rounds=4, needed=3, round_timeout=40, join_timeout=120)
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
    assert len(_joined(tmp_path)) == 2, "something of the killed join is left"
    participants.join("carla", study, parts[2])

    again = last_run(tmp_path / "server", load_study(study))
    assert again.path == run.path
    begun = again.begun
    train_federated(again, address, federation_tls, lambda event: None)
    history = again.history()
    assert [line["round"] for line in history] == [1, 2, 3, 4]
    assert history[0]["seconds"] == first[0]["seconds"], "a finished round was done again"
    assert [line["participants"] for line in history] == [NAMES] * 4
    assert again.begun > begun
    for name, least in (("anna", 4), ("berta", 4), ("carla", 3)):
        code, out, err = participants.wait(name)
        assert code == 0, err
        assert json.loads(out)["rounds"] >= least


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


def _joined(folder: Path) -> set[str]:
    """The state of each SuperNode that runs, once what is dying is gone."""
    deadline = time.monotonic() + 30
    while len(found := _supernode_homes(folder)) > 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _supernode_homes(folder: Path) -> set[str]:
    homes = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            homes.add(process.environ().get("FLWR_HOME", ""))
    return {home for home in homes if home.startswith(str(folder / "blindfit-join-"))}


def _is_of(process: psutil.Process, run: Path) -> bool:
    try:
        return process.environ().get("FLWR_HOME", "").startswith(str(run))
    except psutil.Error:
        return False


def test_a_server_that_ships_another_app_gets_a_refusal_and_the_join_ends(
    tmp_path: Path,
    federation_tls: Tls,
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
