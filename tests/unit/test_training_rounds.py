"""The real ServerApp and ClientApp in one process: rounds, refusals, failures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from test_estimators import rows

from blindfit.errors import TrainingError
from blindfit.federation_messages import write_reply
from blindfit.metrics import Metrics
from blindfit.study import CLASSIFIERS, EstimatorName, load_study
from client_app.federation import app
from server_app.federation import make_server_app
from server_app.in_process import Client, InProcessGrid, train_in_process
from server_app.run_folder import RunFolder


def write_study(folder: Path, name: str, needed: int = 2, rounds: int = 3) -> Path:
    target = "classes = [0, 1, 2]" if name in CLASSIFIERS else "target_range = {min = 1, max = 6}"
    path = folder / "study.toml"
    path.write_text(f"""
[study]
name = "t"
[model]
estimator = "{name}"
[federation]
rounds = {rounds}
min_participants = {needed}
join_timeout = 0.1
round_timeout = 1
[schema]
target = "y"
{target}
[[schema.features]]
name = "x{{0..4}}"
kind = "number"
min = 0
max = 1
""")
    return path


def client(folder: Path, study: Path, part: str, X: np.ndarray, y: np.ndarray) -> Client:
    np.savez(folder / f"{part}.npz", X=X, y=y)
    config = {"study": str(study), "data": str(folder / f"{part}.npz")}
    return app, config | {"events": str(folder / f"{part}.jsonl")}


def federated_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    """For classifiers, a class in each of three corners of the cube."""
    if name not in CLASSIFIERS:
        return rows(name)
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 200)
    corners = np.eye(5)[:3] * 0.6 + 0.2
    return np.clip(corners[y] + random.normal(0, 0.12, (200, 5)), 0, 1), y


def halves(folder: Path, study: Path, name: str) -> list[Client]:
    """The second participant has no row of class 2."""
    X, y = federated_rows(name)
    second = np.arange(len(y)) >= 100
    if name in CLASSIFIERS:
        second &= y != 2
    return [
        client(folder, study, "first", X[:100], y[:100]),
        client(folder, study, "second", X[second], y[second]),
    ]


@pytest.mark.parametrize("name", get_args(EstimatorName))
def test_every_estimator_trains_with_a_participant_that_lacks_a_class(
    name: str, tmp_path: Path
) -> None:
    study = write_study(tmp_path, name)
    run = train_in_process(load_study(study), halves(tmp_path, study, name), tmp_path / "run")

    X, y = federated_rows(name)
    model, last = run.model(), run.history()[-1]
    assert (last["round"], len(last["participants"]), last["refused"]) == (3, 2, {})
    assert np.isfinite(last["loss"])
    if name in CLASSIFIERS:
        assert last["accuracy"] > 0.9
        assert (model.predict(X[y == 2]) == 2).mean() > 0.8
        assert list(model.classes_) == [0, 1, 2]
    else:
        assert last["r2"] > -0.01
        assert model.predict(X).shape == y.shape


def test_a_rounds_score_is_that_of_the_model_after_it(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression", rounds=1)
    clients = halves(tmp_path, study, "LogisticRegression")
    run = train_in_process(load_study(study), clients, tmp_path / "run")
    parts = [np.load(tmp_path / f"{part}.npz") for part in ("first", "second")]
    right = sum((run.model().predict(part["X"]) == part["y"]).sum() for part in parts)
    assert run.history()[0]["accuracy"] == pytest.approx(
        right / sum(len(part["y"]) for part in parts)
    )


def replying(content: RecordDict) -> Client:
    fake = ClientApp()

    def reply(message: Message, context: Context) -> Message:
        return Message(content, reply_to=message)

    fake.train()(reply)
    fake.evaluate()(reply)
    fake.query()(reply)
    return fake, {}


def test_a_bad_update_is_refused_and_named_and_the_round_goes_on(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    bad = replying(write_reply(Metrics(10, 1.0, 5), [np.full((1, 5), 1e6), np.zeros(3)]))
    clients = [*halves(tmp_path, study, "LogisticRegression"), bad]
    run = train_in_process(load_study(study), clients, tmp_path / "run")
    for line in run.history():
        assert line["participants"] == ["node 1", "node 2"]
        assert line["refused"] == {
            "node 3": "coefficients: float64 (1, 5); the study has float64 (3, 5)"
        }
    assert np.abs(run.model().coef_).max() < 100


def test_what_would_end_the_training_is_refused_and_the_round_goes_on(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    many = write_reply(Metrics(10, 1.0, 5))
    many["parameters"] = ArrayRecord([np.zeros((1,) * 32)])
    huge = write_reply(Metrics(10, 1.0, 5), [np.full((3, 5), 1.7e308), np.full(3, 1.7e308)])
    unmeasured = write_reply(Metrics(10, float("nan"), 5), [np.full((3, 5), 1.0), np.full(3, 1.0)])
    clients = [
        *halves(tmp_path, study, "LogisticRegression"),
        *map(replying, (many, huge, unmeasured)),
    ]
    run = train_in_process(load_study(study), clients, tmp_path / "run")
    for line in run.history():
        assert line["participants"] == ["node 1", "node 2"]
        assert line["refused"] == {
            "node 3": "an array of 32 dimensions; at most 2 are read",
            "node 4": "coefficients: a number is beyond 1e+100",
            "node 5": "the metric loss is nan, which nothing can be added to",
        }
    assert np.isfinite(run.history()[0]["loss"])
    assert np.abs(run.model().coef_).max() < 100


def test_a_study_that_differs_is_refused_by_the_participant(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    contract = load_study(study)
    clients = halves(tmp_path, study, "LogisticRegression")
    study.write_text(study.read_text().replace("rounds = 3", "rounds = 4"))
    with pytest.raises(TrainingError, match="study differs from this participant's"):
        train_in_process(contract, clients, tmp_path / "run")


def test_what_fails_at_a_participant_is_not_quoted_to_the_coordinator(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    clients = halves(tmp_path, study, "LogisticRegression")
    X, y = rows("LogisticRegression")
    X[3, 2] = 777.25
    clients[1] = client(tmp_path, study, "outside", X, y)
    with pytest.raises(TrainingError) as caught:
        train_in_process(load_study(study), clients, tmp_path / "run")
    assert "node 2: RowsError at the participant" in str(caught.value)
    assert "777" not in (tmp_path / "run" / "events.jsonl").read_text()


class SilentGrid(InProcessGrid):
    """Node 2 does not answer any more from the second round on."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = super().pull_messages(message_ids)
        return [
            reply
            for reply in replies
            if not (reply.metadata.src_node_id == 2 and reply.metadata.group_id == "2")
        ]


def conduct_silently(folder: Path, study: Path, clients: Sequence[Client]) -> RunFolder:
    names = dict(enumerate(["anna", "berta", "carla"][: len(clients)], 1))
    run = RunFolder.create(folder / "run", load_study(study), names)
    context = Context(1, 0, {}, RecordDict(), {})
    make_server_app(run.path)(grid=SilentGrid(clients), context=context)
    return run


def test_a_participant_that_is_silent_in_a_round_is_named_and_the_round_goes_on(
    tmp_path: Path,
) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    clients = halves(tmp_path, study, "LogisticRegression")
    run = conduct_silently(tmp_path, study, [*clients, clients[0]])
    participants = [line["participants"] for line in run.history()]
    assert participants == [
        ["anna", "berta", "carla"],
        ["anna", "carla"],
        ["anna", "berta", "carla"],
    ]
    assert run.history()[1]["refused"] == {"berta": "no answer within 1 s"}


def test_too_few_answers_fail_the_round_and_the_last_good_model_stays(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    clients = halves(tmp_path, study, "LogisticRegression")
    with pytest.raises(TrainingError, match="round 2: 1 usable updates of at least 2") as caught:
        conduct_silently(tmp_path, study, clients)
    assert "berta: no answer" in str(caught.value)
    assert "the model of round 1 is kept" in str(caught.value)
    run = RunFolder(tmp_path / "run")
    assert [line["round"] for line in run.history()] == [1]
    X, y = federated_rows("LogisticRegression")
    assert run.model().score(X, y) > 0.8
    last = json.loads(run.events.read_text().splitlines()[-1])
    assert (last["event"], last["reason"]) == ("failed", str(caught.value))
    told = json.loads((tmp_path / "first.jsonl").read_text().splitlines()[-1])
    assert told["event"] == "ended"
    assert "usable updates" in told["reason"]


def test_too_few_participants_fail_after_the_joins_bound(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression", needed=3)
    clients = halves(tmp_path, study, "LogisticRegression")
    with pytest.raises(
        TrainingError, match=r"after 0\.1 s, 2 of at least 3 participants are there"
    ):
        train_in_process(load_study(study), clients, tmp_path / "run")


def test_participants_learn_how_it_ended(tmp_path: Path) -> None:
    study = write_study(tmp_path, "Ridge")
    clients: list[Any] = halves(tmp_path, study, "Ridge")
    train_in_process(load_study(study), clients, tmp_path / "run")
    events = [json.loads(line) for line in (tmp_path / "first.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["trained"] * 3 + ["finished"]
    assert events[-1]["score"] > 0.5
