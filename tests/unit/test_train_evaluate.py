"""`train`: rows to score on are read first; what is told of a training without a last score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_privacy import private_rows, private_study
from test_estimators import rows
from test_training_commands import invoke
from test_training_rounds import write_study

from bench.federation import join
from bench.federation import train as train_in_process
from blindfit.dataset import Dataset
from blindfit.errors import InputError, RowsError
from blindfit.study import Study
from server_app.commands.train import _kept, _scores, _summarize, train
from server_app.home import create_home
from server_app.publish import _statement
from server_app.run_folder import RunFolder
from server_app.training_run import training_record

KINDS = ("records", "participants")


@pytest.fixture
def server(tmp_path: Path) -> Path:
    create_home(tmp_path / "server", [])
    return tmp_path / "server"


def write_rows(path: Path, *, wrong: bool = False) -> Path:
    X, y = rows("Ridge")
    if wrong:
        X[17, 4] = 1.5
    np.savez(path, X=X, y=y)
    return path


@pytest.mark.parametrize("how", ["local", "federated"])
def test_wrong_rows_to_score_on_end_it_before_the_training(
    tmp_path: Path, server: Path, how: str
) -> None:
    study = write_study(tmp_path, "Ridge")
    wrong = write_rows(tmp_path / "wrong.npz", wrong=True)
    local = ("--local", write_rows(tmp_path / "rows.npz")) if how == "local" else ()
    with pytest.raises(RowsError, match=r"row 18, column x4: 1\.5 is above max 1"):
        invoke(train, study, *local, "--evaluate", wrong, "--home", server)
    assert not (server / "local").exists()
    assert not (server / "federation").exists()


def test_rows_to_score_on_are_of_no_use_without_publishing(tmp_path: Path, server: Path) -> None:
    study, labelled = write_study(tmp_path, "Ridge"), write_rows(tmp_path / "rows.npz")
    with pytest.raises(InputError, match="scores what is published"):
        invoke(train, study, "--evaluate", labelled, "--no-publish", "--home", server)


def privately_trained(folder: Path, kind: str) -> tuple[Study, RunFolder]:
    """Two rounds with three participants in this process, with real masks and noise."""
    study = private_study("LogisticRegression", kind=kind, rounds=2, honest=2)
    X, y = private_rows(study)
    parts = {"anna": slice(0, 40), "berta": slice(40, 80), "carla": slice(80, 120)}
    joined = [
        join(folder, study, who, Dataset(X[part], y[part], "")) for who, part in parts.items()
    ]
    return study, train_in_process(study, joined, folder / "run")


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_training_has_no_last_score_and_says_so(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study, run = privately_trained(tmp_path, kind)
    training = training_record(study, run)
    assert training["kept_round"] == 2
    assert (_kept(training)["round"], _kept(training)["accuracy"]) == (2, None)
    assert 0 <= training["history"][0]["accuracy"] <= 1
    assert _scores(training) == {}
    _summarize({"study": study.name, "training": training, "run": "run"})
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith("private: 2 rounds, 3 participants, ")
    assert told.endswith("the last model is not scored")


def test_the_rows_of_participants_that_do_not_tell_them_are_not_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, run = privately_trained(tmp_path, "participants")
    training = training_record(study, run)
    assert (training["rows"], [line["rows"] for line in training["history"]]) == (None, [None] * 2)
    _summarize({"study": study.name, "training": training, "run": "run"})
    assert "rows" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_a_private_training_claims_noise_on_its_metrics_too(tmp_path: Path, kind: str) -> None:
    study, run = privately_trained(tmp_path, kind)
    statement = _statement(study, training_record(study, run))
    guarantee = statement.differential_privacy
    assert guarantee is not None and guarantee.noisy_metrics
    assert (guarantee.unit, guarantee.rounds) == (
        kind.removesuffix("s").replace("record", "row"),
        2,
    )
    assert (statement.origin, statement.participants) == ("federated", 3)
    told = " ".join([*statement.summary, *statement.not_covered])
    assert "noisy sum of the metrics" in told
    assert "sums without noise" not in told


def test_what_a_summary_says_of_a_published_model(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"round": 1, "accuracy": 0.9, "r2": None}
    training: dict[str, Any] = {"rounds": 1, "participants": 1, "rows": 1200, "history": [line]}
    accuracy = {"training_accuracy": 0.9, "clear_accuracy": 0.875, "sample_encrypted_accuracy": 0.8}
    document = {"study": "t", "model": "t", "version": 3, "training": training}
    _summarize(document | {"accuracy": accuracy})
    assert capsys.readouterr().out.splitlines() == [
        "t: 1 rounds, 1 participants, 1,200 rows, accuracy 0.9000",
        "published as version 3 of t",
        "  clear accuracy 0.8750",
        "  sample encrypted accuracy 0.8000",
    ]
