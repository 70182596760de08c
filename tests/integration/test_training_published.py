"""`train` publishes scores on labelled rows: in clear, quantized, and really encrypted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from fixtures_privacy import private_rows, private_study
from typer.testing import CliRunner

from bench.federation import join
from bench.federation import train as train_in_process
from blindfit.dataset import Dataset
from blindfit.model_card import card_markdown
from server_app.commands.train import _publish, train
from server_app.evaluation import LabelledRows
from server_app.home import create_home
from server_app.registry import Registry
from server_app.training_run import training_record

pytestmark = pytest.mark.slow

STUDY = """
[study]
name = "t"
[model]
estimator = "LogisticRegression"
[schema]
target = "y"
classes = [0, 1, 2]
[[schema.features]]
name = "x{0..3}"
kind = "number"
min = 0
max = 1
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    create_home(tmp_path / "server", [])
    return tmp_path / "server"


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    return private_rows(private_study("LogisticRegression"), 90, seed)


@pytest.mark.parametrize("evaluated", [False, True])
def test_local_training_is_scored_on_its_own_rows_or_on_others(
    tmp_path: Path, home: Path, evaluated: bool
) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    for name, seed in (("rows", 0), ("others", 1)):
        X, y = rows(seed)
        np.savez(tmp_path / f"{name}.npz", X=X, y=y)
    app = typer.Typer()
    app.command()(train)
    command = [tmp_path / "study.toml", "--local", tmp_path / "rows.npz", "--home", home, "--json"]
    command += ["--evaluate", tmp_path / "others.npz"] if evaluated else []
    done = CliRunner().invoke(app, [str(item) for item in command], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    version = Registry(home).load("t", 1)
    about, accuracy = version.manifest.evaluation, version.manifest.accuracy
    assert about is not None
    assert (about.source, about.rows) == ("evaluation" if evaluated else "training", 90)
    assert about.agreed == about.encrypted_rows == 50
    assert printed["accuracy"] == accuracy
    assert {"clear_accuracy", "quantized_accuracy", "sample_encrypted_accuracy"} < set(accuracy)
    assert (accuracy["clear_accuracy"] == accuracy["training_accuracy"]) is not evaluated


@pytest.mark.parametrize("kind", ["records", "participants"])
def test_a_private_training_is_published_with_what_is_known_of_it(
    tmp_path: Path, home: Path, kind: str
) -> None:
    study = private_study("LogisticRegression", kind=kind, rounds=2, honest=2, epsilon=8.0)
    X, y = private_rows(study)
    joined = [
        join(tmp_path, study, name, Dataset(X[start::3], y[start::3], ""))
        for start, name in enumerate(("anna", "berta", "carla"))
    ]
    run = train_in_process(study, joined, tmp_path / "run")
    training = training_record(study, run)
    trained = (run.model(), training, run.path)
    published = _publish(home, study, trained, LabelledRows(*rows(1)))
    manifest = Registry(home).load("private", published["version"]).manifest
    assert manifest.privacy is not None and manifest.privacy.differential_privacy is not None
    assert manifest.privacy.differential_privacy.noisy_metrics
    assert not [name for name in manifest.accuracy if name.startswith("training_")]
    assert published["accuracy"] == manifest.accuracy
    assert manifest.accuracy["sample_encrypted_accuracy"] == pytest.approx(
        manifest.accuracy["sample_quantized_accuracy"]
    )
    assert (manifest.training["rows"] is None) is (kind == "participants")
    card = card_markdown(manifest)
    assert "noisy sum of the metrics" in card
    assert ("- Rows:" in card) is (kind == "records")
