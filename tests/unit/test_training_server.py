"""The server's side of a training that needs no Flower process."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_estimators import rows
from test_training_rounds import halves, write_study

from blindfit.address import split_address
from blindfit.errors import InputError, TrainingError
from blindfit.estimators import get_parameters
from blindfit.events import Event, EventReader, append_event
from blindfit.model_file import read_model
from blindfit.study import load_study
from client_app.probe import is_up
from server_app.commands.train import _warn_if_open
from server_app.in_process import train_in_process
from server_app.local import train_locally
from server_app.progress import _LiveTable, describe
from server_app.superlink import Tls
from server_app.training_run import train_federated, training_record


def test_local_training_is_the_plain_fit(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, "LogisticRegression"))
    X, y = rows("LogisticRegression")
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    fit = train_locally(tmp_path, study, tmp_path / "rows.npz")
    assert get_parameters(read_model(fit.folder / "model.skops"))[0].tolist() == (
        get_parameters(fit.estimator)[0].tolist()
    )
    assert fit.training["history"][0]["accuracy"] == pytest.approx(fit.estimator.score(X, y))
    assert (fit.training["algorithm"], fit.training["rows"]) == ("local", 200)


def test_local_training_names_a_class_without_rows(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, "LinearSVC"))
    X, y = rows("LinearSVC")
    np.savez(tmp_path / "rows.npz", X=X[y != 1], y=y[y != 1])
    with pytest.raises(TrainingError, match="no row of the classes 1"):
        train_locally(tmp_path, study, tmp_path / "rows.npz")


def test_the_published_record_counts_participants_and_names_none(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    contract = load_study(study)
    run = train_in_process(
        contract, halves(tmp_path, study, "LogisticRegression"), tmp_path / "run"
    )
    record = training_record(contract, run)
    assert (record["algorithm"], record["participants"], record["rounds"]) == ("fedavg", 2, 3)
    assert "node 1" not in json.dumps(record)
    assert record["history"][2]["accuracy"] == run.history()[2]["accuracy"]


def test_a_training_with_too_few_known_participants_starts_nothing(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, "Ridge"))
    tls = Tls(tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key")
    with pytest.raises(InputError, match="needs 2 participants; 1 are known"):
        train_federated(tmp_path, study, {"anna": "key"}, "127.0.0.1:1", tls, print)
    assert not (tmp_path / "federation").exists()


def test_events_are_read_once_and_only_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert reader.read() == []
    append_event(path, "trained", loss=float("nan"), round=1)
    with path.open("a") as file:
        file.write('{"event": "hal')
    assert reader.read() == [{"event": "trained", "loss": None, "round": 1}]
    with path.open("a") as file:
        file.write('f"}\n')
    assert reader.read() == [{"event": "half"}]


def test_a_round_reads_as_one_line() -> None:
    event = {
        "event": "round_finished",
        "round": 2,
        "participants": ["anna", "berta"],
        "refused": {"carla": "no answer within 30 s"},
        "rows": 1400,
        "seconds": 3.21,
        "loss": 0.5,
        "accuracy": 0.9125,
        "r2": None,
    }
    assert describe(event) == (
        "round 2: 2 participants, 1,400 rows, loss 0.5000, accuracy 0.9125, 3.2 s; "
        "refused: carla: no answer within 30 s"
    )


HOSTILE = "bye [/x] [red]\x1b[2J\x9b5m\nround 9: fine"


def hostile_event() -> Event:
    return {
        "event": "round_finished",
        "round": 1,
        "participants": ["anna"],
        "refused": {"carla": HOSTILE},
        "rows": 1400,
        "seconds": 3.21,
        "loss": 0.5,
        "accuracy": 0.9125,
        "r2": None,
    }


def test_a_peers_reason_is_shown_as_it_is_and_steers_nothing() -> None:
    table = _LiveTable()
    table.take({"event": "waiting", "needed": 2, "present": ["[/y]\x1b[2J"]})
    table.take(hostile_event())
    shown = io.StringIO()
    Console(file=shown, width=200, force_terminal=True, color_system=None).print(table.render())
    assert "carla: bye [/x] [red]" in shown.getvalue()
    assert "[/y]" in shown.getvalue()
    assert "[2J" in shown.getvalue()
    assert "\x1b[2J" not in shown.getvalue()
    assert "\x9b" not in shown.getvalue()


def test_a_peers_reason_stays_in_its_line() -> None:
    assert describe(hostile_event()).endswith("carla: bye [/x] [red]�[2J�5m round 9: fine")


def test_an_open_address_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    _warn_if_open("127.0.0.1:8443")
    assert capsys.readouterr().err == ""
    _warn_if_open("0.0.0.0:8443")
    warning = capsys.readouterr().err
    for told in ("run any program on this machine", "every participant's machine", "firewall"):
        assert told in warning


@pytest.mark.parametrize("text", ["localhost", "host:", ":1", "host:0", "host:99999", "host:x"])
def test_an_address_needs_host_and_port(text: str) -> None:
    with pytest.raises(InputError, match="is not an address"):
        split_address(text)


def test_addresses() -> None:
    assert split_address("example.org:8443") == ("example.org", 8443)
    assert split_address("[::1]:8443") == ("::1", 8443)


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ca\.pem is not a PEM certificate"):
        is_up("127.0.0.1:1", tmp_path / "ca.pem")
