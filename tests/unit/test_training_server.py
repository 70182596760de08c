"""The server's side of a training that needs no Flower process."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_secagg import make_group
from rich.console import Console
from test_estimators import rows
from test_training_rounds import halves, write_study

from bench.federation import train
from blindfit.address import split_address
from blindfit.app_digest import APP_SHA256
from blindfit.errors import InputError, StudyError, TrainingError
from blindfit.estimators import get_parameters
from blindfit.events import Event, EventReader, append_event
from blindfit.model_file import read_model
from blindfit.study import EarlyStop, load_study
from server_app import training_run
from server_app.checkpoint import Checkpoint, RoundRecord, read_checkpoint, write_checkpoint
from server_app.commands.train import _warn_if_open
from server_app.control import build_app
from server_app.early_stop import is_better, should_stop
from server_app.learning import Progress, make_learner
from server_app.local import train_locally
from server_app.participants import training_roster
from server_app.pinning import pin_participants
from server_app.progress import _LiveTable, describe
from server_app.run_folder import RunFolder
from server_app.training_run import last_run, new_run, training_record


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
    run = train(contract, halves(tmp_path, study, "LogisticRegression"), tmp_path / "run")
    record = training_record(contract, run)
    assert (record["algorithm"], record["participants"], record["rounds"]) == ("fedavg", 2, 3)
    assert (record["secure_aggregation"], record["known_participants"]) == (True, 2)
    assert "anna" not in json.dumps(record)
    assert record["history"][2]["accuracy"] == run.history()[2]["accuracy"]


def test_a_training_with_too_few_known_participants_starts_nothing(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, "Ridge"))
    roster = make_group(1, 2)[0].roster
    with pytest.raises(InputError, match="needs 2 participants; 1 are known"):
        new_run(tmp_path, study, roster)
    assert not (tmp_path / "federation").exists()


def test_a_run_is_gone_on_with_by_the_very_same_study(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, "Ridge"))
    with pytest.raises(InputError, match="no run of this study"):
        last_run(tmp_path, study)
    roster = make_group(3, 2)[0].roster
    first, second = (new_run(tmp_path, study, roster) for _ in range(2))
    assert last_run(tmp_path, study).path == second.path
    assert first.run_id() != second.run_id()
    other = load_study(write_study(tmp_path, "Ridge", rounds=9))
    with pytest.raises(InputError, match="no run of this study"):
        last_run(tmp_path, other)


def test_a_rounds_number_is_used_once_whoever_asks(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, "Ridge"))
    run = new_run(tmp_path, study, make_group(3, 2)[0].roster)
    assert [run.begin_round().round for _ in range(2)] == [1, 2]
    assert RunFolder(run.path).begin_round().round == 3


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = RoundRecord(3, ["anna"], {"berta": "gone"}, 10, 1.5, loss=0.5)
    progress = Progress(
        [np.ones((2, 3)), np.zeros(2)], [np.full((2, 3), 2.0)], {"speed": np.full(2, 7.0)}
    )
    kept = Checkpoint(progress, [np.eye(2)], 3, [record])
    write_checkpoint(tmp_path / "checkpoint.npz", kept)
    read = read_checkpoint(tmp_path / "checkpoint.npz")
    assert (read.best_round, read.records) == (3, [record])
    for one, other in (
        *zip(read.progress.parameters, progress.parameters, strict=True),
        *zip(read.progress.model, progress.model, strict=True),
        *zip(read.best, kept.best, strict=True),
        (read.progress.state["speed"], progress.state["speed"]),
    ):
        assert np.array_equal(one, other)
    (tmp_path / "checkpoint.npz").write_bytes(b"PK nonsense")
    with pytest.raises(TrainingError, match="damaged"):
        read_checkpoint(tmp_path / "checkpoint.npz")


def test_a_study_takes_its_participants_and_no_others(tmp_path: Path) -> None:
    path = write_study(tmp_path, "Ridge")
    roster = make_group(3, 2)[0].roster
    before = load_study(path).digest
    pinned = pin_participants(path, roster)
    assert pinned.roster() == roster == load_study(path).roster()
    assert pinned.digest != before
    with pytest.raises(InputError, match="names its participants already"):
        pin_participants(path, roster)
    assert training_roster(tmp_path, pinned, []) == roster
    with pytest.raises(InputError, match="--participant adds none"):
        training_roster(tmp_path, pinned, [tmp_path / "more.pub"])


def test_a_threshold_that_cannot_be_met_leaves_the_study_as_it_is(tmp_path: Path) -> None:
    path = write_study(tmp_path, "Ridge", more="[privacy]\nthreshold = 4")
    text = path.read_text()
    with pytest.raises(StudyError, match="4 participants must survive a round of 3"):
        pin_participants(path, make_group(3, 2)[0].roster)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("losses", "best", "stops"),
    [
        ([0.9, 0.8, 0.7, 0.6], 4, False),
        ([0.5, 0.6, 0.7], 1, True),
        ([0.5, 0.6], 1, False),
        ([0.5, 0.6, None], 1, False),
    ],
)
def test_patience_counts_scored_rounds_that_are_not_better(
    losses: list[float | None], best: int, stops: bool
) -> None:
    stop = EarlyStop(metric="loss", patience=2)
    records = [RoundRecord(i, [], {}, 1, 0.0, loss=loss) for i, loss in enumerate(losses, 1)]
    found = 0
    for count, record in enumerate(records, 1):
        if record.loss is not None and is_better(records[:count], found, stop):
            found = record.round
    assert found == best
    assert should_stop(records, best, stop) is stops


def test_the_app_that_is_shipped_is_the_one_that_studies_name() -> None:
    assert hashlib.sha256(build_app()).hexdigest() == APP_SHA256


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
    for told in ("run any program on this machine", "packaging/nginx/README.md", "firewall"):
        assert told in warning
    assert "participant's machine" not in warning  # those run nothing that is shipped to them


@pytest.mark.parametrize("text", ["localhost", "host:", ":1", "host:0", "host:99999", "host:x"])
def test_an_address_needs_host_and_port(text: str) -> None:
    with pytest.raises(InputError, match="is not an address"):
        split_address(text)


def test_addresses() -> None:
    assert split_address("example.org:8443") == ("example.org", 8443)
    assert split_address("[::1]:8443") == ("::1", 8443)


def test_a_model_that_no_message_has_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(write_study(tmp_path, "Ridge"))
    group = make_group(3, 2)[0]
    length = make_learner(study, 3).length("fit")
    monkeypatch.setattr(training_run, "MAX_WORDS", length)
    new_run(tmp_path, study, group.roster)
    monkeypatch.setattr(training_run, "MAX_WORDS", length - 1)
    with pytest.raises(StudyError, match=f"would send {length:,} numbers"):
        new_run(tmp_path, study, group.roster)
