"""The client's commands and estimators against a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from blindfit.errors import InputError, KeyStateError, PassphraseError, RowsError, UnknownModelError
from blindfit.model_card import card_html
from blindfit.schema import Schema
from client_app.estimators import EncryptedClassifier, EncryptedRegressor
from client_app.session import Session
from demo.deployment import PASSPHRASE, Deployment
from demo.programs import command, environment
from server_app.publish import publish_estimator
from server_app.registry import Registry

pytestmark = pytest.mark.slow

FEATURES = [
    {"name": "a", "kind": "number", "min": -1, "max": 1},
    {"name": "b", "kind": "number", "min": 0, "max": 100},
    {"name": "c", "kind": "category", "categories": ["x", "y"]},
]
SCHEMA = Schema.model_validate({"target": "t", "classes": ["hi", "lo"], "features": FEATURES})
VALUES = Schema.model_validate(
    {"target": "t", "target_range": {"min": -9, "max": 9}, "features": FEATURES}
)


def table(count: int) -> pd.DataFrame:
    generator = np.random.default_rng(count)
    rows = pd.DataFrame(
        {"a": generator.uniform(-1, 1, count), "b": generator.uniform(0, 100, count)}
    )
    rows["c"] = generator.choice(["x", "y"], count)
    return rows


def clear_rows(rows: pd.DataFrame) -> np.ndarray:
    return np.column_stack([(rows.a + 1) / 2, rows.b / 100, rows.c == "x", rows.c == "y"])


@pytest.fixture(scope="module")
def models(deployment):
    """A classifier and a regressor, published, with keys; by name."""
    rows = table(400)
    X = clear_rows(rows)
    labels = np.where(rows.a + rows.b / 50 > 1, "hi", "lo")
    classifier = LogisticRegression().fit(X, labels)
    regressor = Ridge().fit(X, 3 * rows.a - rows.b / 25)
    publish_estimator(deployment.server, "client-class", SCHEMA, classifier)
    publish_estimator(deployment.server, "client-value", VALUES, regressor)
    for name in ("client-class", "client-value"):
        deployment.keys("create", "client", name)
    return {"client-class": classifier, "client-value": regressor}


@pytest.fixture
def home(deployment) -> Path:
    return deployment.home("client")


@pytest.fixture
def options(deployment, home) -> dict:
    return {"home": str(home), "passphrase_file": str(deployment.passphrase_file)}


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=environment()
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_writes_labels_and_probabilities(models, deployment, home, tmp_path, ending):
    rows = table(20)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / f"out.{ending}"
    done = run(
        "blindfit-client", "predict", "client-class", tmp_path / "rows.csv", "--out", out,
        "--home", home, "--passphrase-file", deployment.passphrase_file, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 20
    predictions = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    assert list(predictions.columns) == ["t", "probability_hi", "probability_lo"]
    expected = models["client-class"].predict_proba(clear_rows(rows))
    np.testing.assert_allclose(predictions.iloc[:, 1:], expected, atol=0.02)
    assert (predictions.t == models["client-class"].predict(clear_rows(rows))).mean() > 0.9
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_client_writes_the_card_of_the_signed_manifest(models, deployment, home, tmp_path):
    out = tmp_path / "card.html"
    done = run("blindfit-client", "models", "card", "client-class", "--home", home, "--out", out)
    assert done.returncode == 0, done.stderr
    published = Registry(deployment.server).open("client-class")
    assert out.read_text() == card_html(published.manifest)
    assert (published.folder / "card.html").read_text() == out.read_text()
    listed = run("blindfit-client", "models", "--home", home, "--json")
    assert "client-class" in [line["model"] for line in json.loads(listed.stdout)["models"]]


def test_estimators_predict_in_a_pipeline_and_score(models, options):
    rows = table(25)
    clear = models["client-class"].predict(clear_rows(rows))
    classifier = EncryptedClassifier(model="client-class", **options)
    pipeline = make_pipeline(FunctionTransformer(lambda X: X), classifier).fit(rows, clear)
    try:
        assert pipeline.score(rows, clear) >= 0.9
        assert classifier.classes_.tolist() == ["hi", "lo"]
        np.testing.assert_allclose(
            pipeline.predict_proba(rows),
            models["client-class"].predict_proba(clear_rows(rows)),
            atol=0.02,
        )
        fresh = clone(classifier)
        assert fresh.get_params() == classifier.get_params()
        assert not hasattr(fresh, "classes_")
    finally:
        classifier.close()


def test_a_regressor_predicts_values(models, options):
    rows = table(15)
    regressor = EncryptedRegressor(model="client-value", **options)
    try:
        expected = models["client-value"].predict(clear_rows(rows))
        np.testing.assert_allclose(regressor.predict(rows), expected, atol=0.1)
        assert regressor.score(rows, expected) > 0.99
    finally:
        regressor.close()


def test_rows_outside_the_bounds_are_refused_or_clipped(models, home):
    rows = table(3)
    rows.loc[1, "b"] = 101.0
    with Session.open(home, "client-class", PASSPHRASE.encode) as session:
        with pytest.raises(RowsError, match="row 2, column b: 101 is above max 100"):
            session.predict(rows)
        clipped = session.predict(rows, out_of_bounds="clip")
        at_bound = session.predict(rows.assign(b=rows.b.clip(upper=100)))
    assert clipped.warning == "1 values were outside the bounds and clipped: b (1)"
    assert clipped.quantized.tolist() == at_bound.quantized.tolist()


def test_workers_killed_in_mid_run_cost_no_prediction(models, deployment, home):
    rows = table(120)
    killed = []

    def kill(index: int) -> None:
        if index in (20, 60):
            workers = worker_processes(deployment.daemon.process.pid)
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(index)

    with Session.open(home, "client-class", PASSPHRASE.encode) as session:
        before = session.predict(rows)
        during = session.predict(rows, on_row=kill)
    assert len(killed) == 2
    assert during.quantized.tolist() == before.quantized.tolist()


def worker_processes(pid: int) -> list[psutil.Process]:
    """The leaves of the daemon's family."""
    family = psutil.Process(pid).children(recursive=True)
    parents = {process.ppid() for process in family}
    return [process for process in family if process.pid not in parents]


def test_a_restarted_server_costs_no_prediction(models, deployment, home):
    rows = table(60)
    with Session.open(home, "client-class", PASSPHRASE.encode) as session:
        before = session.predict(rows)
        restarting = threading.Event()

        def restart(index: int) -> None:
            if not restarting.is_set():
                restarting.set()
                threading.Thread(target=lambda: (deployment.stop(), deployment.start())).start()

        during = session.predict(rows, on_row=restart)
    assert during.quantized.tolist() == before.quantized.tolist()


def test_estimators_tell_what_is_wrong_instead_of_hiding_it(models, options):
    wrong = EncryptedClassifier(model="absent", **options)
    with pytest.raises(UnknownModelError):
        wrong.predict_proba(table(1))
    with pytest.raises(InputError, match="served for EncryptedClassifier"):
        EncryptedRegressor(model="client-class", **options).predict(table(1))
    with (
        pytest.raises(RowsError, match="no rows"),
        closing(
            EncryptedRegressor(model="client-value", out_of_bounds="clip", **options)
        ) as regressor,
    ):
        with pytest.warns(UserWarning, match=r"1 values were outside .* b \(1\)"):
            regressor.predict(table(1).assign(b=101.0))
        regressor.predict(table(1)[:0])


def test_errors_name_what_to_do(models, deployment, home, tmp_path):
    with pytest.raises(PassphraseError):
        Session.open(home, "client-class", lambda: b"wrong")
    with pytest.raises(UnknownModelError) as unknown:
        Session.open(home, "absent", PASSPHRASE.encode)
    assert "blindfit-client models" in unknown.value.hint
    newcomer = deployment.enroll("newcomer")
    with pytest.raises(KeyStateError) as without:
        Session.open(newcomer, "client-class", PASSPHRASE.encode)
    assert "blindfit-keys create --model client-class" in without.value.hint


def test_a_script_without_a_main_guard_predicts_once(models, options, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import pandas as pd\n"
        "from client_app.estimators import EncryptedClassifier\n"
        "print('top level')\n"
        f"e = EncryptedClassifier(model='client-class', **{options!r})\n"
        "print(len(e.predict(pd.DataFrame({'a': [0.5], 'b': [3.0], 'c': ['x']}))))\n"
    )
    done = subprocess.run(
        [command("python")[0], str(script)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n") == ["top level", "1", ""], done.stderr


def test_doctor_finds_everything_in_order(models, home):
    done = run("blindfit-client", "doctor", "--home", home, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["healthy"] is True


def test_homes_with_spaces_serve_and_predict(tmp_path, concrete):
    model = Ridge().fit(clear_rows(table(50)), np.arange(50))
    with Deployment(tmp_path / "a b", workers=1) as spaced:
        publish_estimator(spaced.server, "spaced", VALUES, model)
        spaced.enroll("client")
        # Creating keys proves them by an encrypted round trip through a worker.
        assert spaced.keys("create", "client", "spaced")
