"""A SuperLink and SuperNodes as processes, over TLS, with SuperNode authentication."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from fixtures_federation import (
    Participants,
    digits_parts,
    digits_study,
)
from sklearn.datasets import load_digits

from blindfit.errors import TrainingError
from blindfit.study import load_study
from server_app.superlink import Tls
from server_app.training_run import new_run, train_federated, training_record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
Event = dict[str, Any]


def test_three_train_one_is_killed_in_a_round_and_the_others_end_with_the_study(
    tmp_path: Path,
    federation_tls: Tls,
    address: str,
    participants: Participants,
) -> None:
    study = digits_study(tmp_path, rounds=2, needed=2, round_timeout=15)
    names = ["anna", "berta", "carla"]
    roster = participants.roster(names)
    for name, data in zip(names, digits_parts(tmp_path, 3), strict=True):
        participants.join(name, study, data)
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if event["event"] == "round_started" and event["round"] == 2:
            _kill(participants.process("carla").pid)

    contract = load_study(study)
    run = new_run(tmp_path, contract, roster)
    train_federated(run, address, federation_tls, report)

    first, second = run.history()
    assert (first["participants"], first["rows"], first["refused"]) == (names, 1400, {})
    assert second["participants"] == ["anna", "berta"]
    assert list(second["refused"]) == ["carla"]
    assert first["accuracy"] > 0.9
    assert second["accuracy"] > 0.9
    finished = [event["round"] for event in events if event["event"] == "round_finished"]
    assert finished == [1, 2]
    X, y = load_digits(return_X_y=True)
    assert run.model().score(X[1400:] / 16, y[1400:]) > 0.88
    assert training_record(contract, run)["participants"] == 3
    assert not list(run.path.glob("superlink.sqlite*")), "readable updates are left on disk"
    for name in ("anna", "berta"):
        code, out, err = participants.wait(name)
        assert code == 0, err
        outcome = json.loads(out)
        assert outcome["rounds"] == 2
        assert outcome["score"] > 0.9
        assert "round 2: trained on" in err


def _kill(join_pid: int) -> None:
    """SIGKILL for the SuperNode and the `join` that started it, as when a machine dies."""
    join = psutil.Process(join_pid)
    family = [join, *join.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, 10)


def test_too_few_participants_end_with_a_clear_error_and_participants_are_told(
    tmp_path: Path,
    federation_tls: Tls,
    address: str,
    participants: Participants,
) -> None:
    study = digits_study(tmp_path, rounds=2, needed=2, join_timeout=15)
    roster = participants.roster(["anna", "berta"])
    participants.join("anna", study, digits_parts(tmp_path, 1)[0])

    with pytest.raises(
        TrainingError, match="1 of at least 2 participants are there; absent: berta"
    ):
        run = new_run(tmp_path, load_study(study), roster)
        train_federated(run, address, federation_tls, lambda event: None)

    code, _, err = participants.wait("anna")
    assert code == 9
    assert "the coordinator ended the study: after 15 s, 1 of at least 2" in err
