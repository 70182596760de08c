"""Scores in a manifest are those of scikit-learn, of the quantized model and of real encryption."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.metrics import r2_score
from typer.testing import CliRunner

from blindfit.model_card import card_html, card_markdown
from blindfit.model_file import write_model
from blindfit.schema import Schema
from blindfit.study import parse_study
from server_app.evaluation import LabelledRows
from server_app.home import create_home
from server_app.publish import publish_estimator, publish_model
from server_app.quantize import quantized_model, quantized_outputs
from server_app.registry import Registry

pytestmark = pytest.mark.slow

STUDY = """
[study]
name = "{name}"
[model]
estimator = "{estimator}"
{privacy}
[fhe]
n_bits = {bits}
[schema]
target = "y"
{target}
[[schema.features]]
name = "x{{0..{last}}}"
kind = "number"
min = 0
max = 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "home"
    create_home(path, [])
    return path


def sample(rows: int) -> np.ndarray:
    """The rows that are executed encrypted."""
    return np.sort(np.random.default_rng(2).choice(rows, size=min(rows, 50), replace=False))


def decrypted(folder, X: np.ndarray) -> np.ndarray:
    """The circuit's whole numbers for rows that are encrypted with keys of the test's own."""
    from concrete.ml.deployment import FHEModelClient, FHEModelServer

    client, server = FHEModelClient(str(folder)), FHEModelServer(str(folder))
    client.generate_private_and_evaluation_keys()
    keys = client.get_serialized_evaluation_keys()
    results = [server.run(client.quantize_encrypt_serialize(row[None]), keys) for row in X]
    return np.stack([np.ravel(client.deserialize_decrypt(result)) for result in results])


def test_a_classifiers_scores_are_computed_from_the_rows(home):
    data = load_breast_cancer()
    X = (data.data - data.data.min(axis=0)) / np.ptp(data.data, axis=0)
    y = np.where(data.target == 1, "benign", "malignant")
    model = LogisticRegression(C=100.0, max_iter=1000).fit(X[:300], y[:300])
    test_X, test_y = X[300:], y[300:]
    study = parse_study(
        STUDY.format(
            name="tumours", estimator="LogisticRegression", last=29, privacy="", bits=3,
            target='classes = ["benign", "malignant"]',
        )
    )  # fmt: skip
    training = {"algorithm": "fedavg", "participants": 4, "known_participants": 5, "history": []}
    published = publish_model(
        home, study, model, training=training, evaluation=LabelledRows(test_X, test_y)
    )
    manifest = Registry(home).open("tumours").manifest
    assert manifest == published.manifest

    scores, picked = manifest.accuracy, sample(len(test_X))
    quantized = quantized_model(model, 30, 3)
    integers = quantized_outputs(quantized, test_X)
    positive = quantized.dequantize_output(integers).ravel() > 0
    labels = np.where(positive, "malignant", "benign")
    assert scores["clear_accuracy"] == model.score(test_X, test_y)
    assert scores["quantized_accuracy"] == np.mean(labels == test_y)
    assert scores["quantized_accuracy"] != scores["clear_accuracy"]  # three bits show
    assert scores["sample_clear_accuracy"] == model.score(test_X[picked], test_y[picked])
    assert scores["sample_quantized_accuracy"] == np.mean(labels[picked] == test_y[picked])
    assert scores["sample_encrypted_accuracy"] == scores["sample_quantized_accuracy"]
    about = manifest.evaluation
    assert about is not None
    assert (about.source, about.rows) == ("evaluation", 269)
    assert (about.encrypted_rows, about.agreed) == (50, 50)
    few = picked[:5]
    assert (
        decrypted(published.folder, test_X[few]).tolist() == integers[few].reshape(5, -1).tolist()
    )

    gate, cost = manifest.gate, manifest.cost
    assert gate.agreed == gate.rows
    assert gate.same_labels is not None
    assert gate.same_labels <= gate.rows
    assert cost is not None
    assert cost.rows == gate.rows
    assert all(0 < value < 5 for value in (cost.encrypt, cost.run, cost.decrypt))
    assert manifest.study == json.loads(study.canonical())
    assert manifest.privacy is not None
    assert manifest.privacy.participants == 5
    assert manifest.privacy.secure_aggregation

    assert (published.folder / "card.md").read_text() == card_markdown(manifest)
    assert (published.folder / "card.html").read_text() == card_html(manifest)
    assert "50 of 50 labelled rows" in card_markdown(manifest)


def test_a_regressors_scores_are_r2_of_its_values(home):
    generator = np.random.default_rng(0)
    X = generator.random((120, 4))
    y = np.exp(2 * X[:, 0] - X[:, 1]) + generator.normal(0, 0.1, 120).clip(-0.1, 0.1)
    model = PoissonRegressor(alpha=1e-4).fit(X, y)
    study = parse_study(
        STUDY.format(
            name="counts", estimator="PoissonRegressor", last=3, privacy="", bits=5,
            target="target_range = { min = 0.01, max = 20 }",
        )
    )  # fmt: skip
    rows = LabelledRows(X[:30], y[:30], "training")
    manifest = publish_model(home, study, model, evaluation=rows).manifest
    quantized = quantized_model(model, 4, 5)
    values = np.exp(quantized.dequantize_output(quantized_outputs(quantized, X[:30])).ravel())
    assert manifest.accuracy["clear_r2"] == pytest.approx(r2_score(y[:30], model.predict(X[:30])))
    assert manifest.accuracy["quantized_r2"] == pytest.approx(r2_score(y[:30], values))
    assert manifest.accuracy["sample_encrypted_r2"] == manifest.accuracy["quantized_r2"]
    assert manifest.gate.same_labels is None
    assert manifest.gate.largest_error is not None
    assert 0 < manifest.gate.largest_error < 2
    assert manifest.privacy is not None
    assert manifest.privacy.origin == "imported"  # nothing told how it was trained
    assert "Expect less of it on other rows" in card_markdown(manifest)


def test_a_tree_has_no_float_model_to_compare_with(home):
    from concrete.ml.sklearn import DecisionTreeClassifier

    X = np.random.default_rng(1).random((200, 3))
    y = (X[:, 0] > 0.5).astype(int)
    tree = DecisionTreeClassifier(n_bits=2, max_depth=1).fit(X, y)
    feature = {"name": "x{0..2}", "kind": "number", "min": 0, "max": 1}
    schema = Schema.model_validate({"target": "y", "classes": [0, 1], "features": [feature]})
    rows = LabelledRows(X[:3], y[:3])
    manifest = publish_estimator(home, "tree", schema, tree, n_bits=2, evaluation=rows).manifest
    assert set(manifest.accuracy) == {
        "quantized_accuracy", "sample_quantized_accuracy", "sample_encrypted_accuracy",
    }  # fmt: skip
    assert manifest.accuracy["quantized_accuracy"] == np.mean(tree.predict(X[:3]) == y[:3])
    assert manifest.evaluation is not None
    assert manifest.evaluation.encrypted_rows == 3
    assert manifest.gate.same_labels is None
    assert (manifest.study, manifest.privacy) == (None, None)
    assert "<svg" in card_html(manifest)


def test_an_imported_model_is_scored_and_claims_nothing(home, tmp_path):
    from server_app.cli import app

    X = np.random.default_rng(2).random((80, 4))
    y = (X[:, 0] > X[:, 1]).astype(int)
    model = LogisticRegression().fit(X, y)
    write_model(tmp_path / "model.skops", model)
    (tmp_path / "study.toml").write_text(
        STUDY.format(
            name="imported", estimator="LogisticRegression", last=3, bits=5,
            target="classes = [0, 1]",
            privacy="[privacy.records]\nepsilon = 1\ndelta = 1e-6\nclip = 1\nhonest = 2",
        )
    )  # fmt: skip
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    arguments = ["models", "import", tmp_path / "model.skops", "--study", tmp_path / "study.toml"]
    arguments += ["--evaluate", tmp_path / "rows.npz", "--home", home, "--json"]
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    assert result.exception is None, result.output
    document = json.loads(result.stdout)
    assert document["accuracy"]["clear_accuracy"] == model.score(X, y)
    manifest = Registry(home).open("imported").manifest
    assert manifest.privacy is not None
    assert manifest.privacy.differential_privacy is None
    assert "nothing is claimed" in card_markdown(manifest)


def test_a_closed_pipe_is_still_an_error_after_the_gate_ran_circuits(home):
    """Concrete's runtime would end the process there, with a stack trace and nothing cleaned up."""
    data = load_breast_cancer()
    X = (data.data - data.data.min(axis=0)) / np.ptp(data.data, axis=0)
    target = 'classes = ["benign", "malignant"]'
    names = {"name": "pipe", "estimator": "LogisticRegression", "privacy": "", "bits": 6}
    study = parse_study(STUDY.format(**names, target=target, last=X.shape[1] - 1))
    y = np.where(data.target == 1, "benign", "malignant")
    publish_model(home, study, LogisticRegression().fit(X, y))
    state = Path("/proc/self/status").read_text(encoding="ascii")
    ignored = re.search(r"SigIgn:\s*(\w+)", state)
    assert ignored is not None
    assert int(ignored[1], 16) >> (signal.SIGPIPE - 1) & 1
