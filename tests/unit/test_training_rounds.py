"""The real ServerApp and ClientApp in one process: rounds, refusals, failures."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from flwr.app import Message
from test_estimators import rows

from bench.federation import Joined, join_arrays, roster_of, train
from blindfit.averaging import Averaging
from blindfit.dataset import Dataset, load
from blindfit.errors import ProtocolError, TrainingError
from blindfit.estimators import get_parameters, initial_parameters
from blindfit.events import EventReader
from blindfit.federation_messages import Instruction
from blindfit.secagg.round_id import RoundId
from blindfit.study import CLASSIFIERS, EstimatorName, load_study
from client_app.training import fit_local
from server_app.in_process import InProcessGrid, conduct_in_process
from server_app.run_folder import RunFolder


def write_study(folder: Path, name: str, needed: int = 2, rounds: int = 3, more: str = "") -> Path:
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
{more}
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


def federated_rows(name: str) -> tuple[np.ndarray, np.ndarray]:
    """For classifiers, a class in each of three corners of the cube."""
    if name not in CLASSIFIERS:
        return rows(name)
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 200)
    corners = np.eye(5)[:3] * 0.6 + 0.2
    return np.clip(corners[y] + random.normal(0, 0.12, (200, 5)), 0, 1), y


def halves(folder: Path, study: Path, name: str) -> list[Joined]:
    """The second participant has no row of class 2."""
    X, y = federated_rows(name)
    second = np.arange(len(y)) >= 100
    if name in CLASSIFIERS:
        second &= y != 2
    return join_arrays(folder, study, {"anna": (X[:100], y[:100]), "berta": (X[second], y[second])})


def thirds(folder: Path, study: Path, name: str) -> list[Joined]:
    X, y = federated_rows(name)
    parts = {who: (X[i::3], y[i::3]) for i, who in enumerate(("anna", "berta", "carla"))}
    return join_arrays(folder, study, parts)


@pytest.mark.parametrize("name", get_args(EstimatorName))
def test_every_estimator_trains_with_a_participant_that_lacks_a_class(
    name: str, tmp_path: Path
) -> None:
    study = write_study(tmp_path, name)
    run = train(load_study(study), halves(tmp_path, study, name), tmp_path / "run")

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
    joined = halves(tmp_path, study, "LogisticRegression")
    run = train(load_study(study), joined, tmp_path / "run")
    parts = [np.load(tmp_path / f"{part}.npz") for part in ("anna", "berta")]
    right = sum((run.model().predict(part["X"]) == part["y"]).sum() for part in parts)
    assert run.history()[0]["accuracy"] == pytest.approx(
        right / sum(len(part["y"]) for part in parts)
    )


def test_a_study_that_differs_is_refused_by_the_participant(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    joined = halves(tmp_path, study, "LogisticRegression")
    other = load_study(write_study(tmp_path, "LogisticRegression", rounds=4))
    with pytest.raises(TrainingError, match="study differs from this participant's"):
        train(other, joined, tmp_path / "run")


def test_what_fails_at_a_participant_is_not_quoted_to_the_coordinator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    joined = halves(tmp_path, study, "LogisticRegression")
    joined[1].participant._data = Dataset(np.full((3, 5), np.nan), np.array([0, 1, 777]), "")
    with pytest.raises(TrainingError) as caught:
        train(load_study(study), joined, tmp_path / "run")
    assert "berta: ValueError at the participant" in str(caught.value)
    assert "777" not in (tmp_path / "run" / "events.jsonl").read_text()


class SilentGrid(InProcessGrid):
    """Answers are lost: ``lost`` has nodes (from 1), message types and rounds of messages."""

    def __init__(self, joined: Sequence[Joined], lost: Container[tuple[int, str, int]]) -> None:
        super().__init__([one.app for one in joined])
        self._lost = lost

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = super().pull_messages(message_ids)
        return [reply for reply in replies if not self._is_lost(reply)]

    def _is_lost(self, reply: Message) -> bool:
        about = reply.metadata
        return (about.src_node_id, about.message_type, int(about.group_id or 0)) in self._lost


def conduct_silently(
    folder: Path, study: Path, joined: list[Joined], lost: Container[tuple[int, str, int]]
) -> RunFolder:
    run = RunFolder.create(folder / "run", load_study(study), roster_of(joined))
    conduct_in_process(run, SilentGrid(joined, lost))
    return run


ALL, OTHERS = ["anna", "berta", "carla"], ["anna", "carla"]


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [
        # Who is left out comes in beside the others, and is back after one round more.
        ("query.advertise", 1, [OTHERS, OTHERS, ALL, ALL]),
        ("query.share", 1, [OTHERS, OTHERS, ALL, ALL]),
        ("train.masked", 2, [ALL, OTHERS, OTHERS, ALL]),
        # Its input is in, so it counts.
        ("query.reveal", 2, [ALL, ALL, OTHERS, ALL]),
    ],
)
def test_a_participant_that_is_silent_at_a_stage_is_named_and_the_round_goes_on(
    tmp_path: Path, kind: str, asked: int, expected: list[list[str]]
) -> None:
    study = write_study(tmp_path, "LogisticRegression", rounds=4)
    joined = thirds(tmp_path, study, "LogisticRegression")
    run = conduct_silently(tmp_path, study, joined, {(2, kind, asked)})
    assert [line["participants"] for line in run.history()] == expected
    assert run.history()[asked - 1]["refused"] == {"berta": "no answer within 1 s"}
    X, y = federated_rows("LogisticRegression")
    assert run.model().score(X, y) > 0.9


def test_dropouts_at_two_stages_of_a_round_are_survived(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression", rounds=2)
    X, y = federated_rows("LogisticRegression")
    names = ("anna", "berta", "carla", "dora", "emma")
    parts = {name: (X[i::5], y[i::5]) for i, name in enumerate(names)}
    joined = join_arrays(tmp_path, study, parts)
    lost = {(2, "train.masked", 2), (3, "query.confirm", 2)}
    run = conduct_silently(tmp_path, study, joined, lost)
    second = run.history()[1]
    assert second["participants"] == ["anna", "carla", "dora", "emma"]
    assert list(second["refused"]) == ["berta", "carla"]
    assert second["rows"] == 160


class Always:
    """Everything that ``match`` says is lost."""

    def __init__(self, match: Callable[[int, str, int], bool]) -> None:
        self._match = match

    def __contains__(self, item: object) -> bool:
        return self._match(*item)  # type: ignore[misc]


SECOND_NEVER_TRAINS = Always(
    lambda node, kind, asked: node == 2 and kind == "train.masked" and asked > 1
)


def test_too_few_answers_fail_rounds_and_the_last_good_model_stays(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    joined = halves(tmp_path, study, "LogisticRegression")
    with pytest.raises(
        TrainingError, match="round 2: 1 participants sent an input; 2 are needed"
    ) as caught:
        conduct_silently(tmp_path, study, joined, SECOND_NEVER_TRAINS)
    assert "berta: no answer" in str(caught.value)
    assert "the model of round 1 is kept" in str(caught.value)
    run = RunFolder(tmp_path / "run")
    assert [line["round"] for line in run.history()] == [1]
    X, y = federated_rows("LogisticRegression")
    assert run.model().score(X, y) > 0.8
    last = json.loads(run.events.read_text().splitlines()[-1])
    assert (last["event"], last["reason"]) == ("failed", str(caught.value))
    told = json.loads(joined[0].events.read_text().splitlines()[-1])
    assert told["event"] == "ended"
    assert "sent an input" in told["reason"]


def test_a_round_that_failed_is_followed_by_a_fresh_one(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    joined = halves(tmp_path, study, "LogisticRegression")
    run = conduct_silently(tmp_path, study, joined, {(2, "query.reveal", 2)})
    assert [line["round"] for line in run.history()] == [1, 2, 3]
    failed = [e for e in EventReader(run.events).read() if e["event"] == "round_failed"]
    assert [event["round"] for event in failed] == [2]
    assert "1 participants revealed their shares; 2 are needed" in failed[0]["reason"]


def test_a_restarted_coordinator_goes_on_after_the_last_finished_round(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    joined = halves(tmp_path, study, "LogisticRegression")
    with pytest.raises(TrainingError):
        conduct_silently(tmp_path, study, joined, SECOND_NEVER_TRAINS)
    run = RunFolder(tmp_path / "run")
    first, begun = run.history()[0], run.begun
    assert not run.is_trained
    conduct_in_process(run, InProcessGrid([one.app for one in joined]))
    assert [line["round"] for line in run.history()] == [1, 2, 3]
    assert run.history()[0] | {"loss": 0, "accuracy": 0} == first | {"loss": 0, "accuracy": 0}
    assert run.is_trained
    assert run.begun > begun, "a number that was used was used again"


def test_too_few_participants_fail_after_the_joins_bound(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression", needed=3)
    joined = halves(tmp_path, study, "LogisticRegression")
    with pytest.raises(
        TrainingError, match=r"after 0\.1 s, 2 of at least 3 participants are there"
    ):
        train(load_study(study), joined, tmp_path / "run")


def test_participants_learn_how_it_ended(tmp_path: Path) -> None:
    study = write_study(tmp_path, "Ridge")
    joined = halves(tmp_path, study, "Ridge")
    train(load_study(study), joined, tmp_path / "run")
    events = EventReader(joined[0].events).read()
    assert [event["event"] for event in events] == ["roster"] + ["trained"] * 3 + ["finished"]
    assert events[-1]["score"] > 0.5


@pytest.mark.parametrize("name", get_args(EstimatorName))
def test_the_secure_sum_is_the_plain_mean_within_the_stated_error(
    name: str, tmp_path: Path
) -> None:
    study = write_study(tmp_path, name, rounds=1)
    contract, joined = load_study(study), thirds(tmp_path, study, name)
    run = train(contract, joined, tmp_path / "run")
    fits, rows = [], []
    for one in joined:
        data = load(contract, tmp_path / f"{one.name}.npz")
        fits.append(fit_local(contract, initial_parameters(contract), data.X, data.y, seed=1))
        rows.append(len(data.X))
    averaging = Averaging(contract, 3)
    for number, secure in enumerate(get_parameters(run.model())):
        plain = np.average(np.stack([fit[number] for fit in fits]), axis=0, weights=rows)
        assert np.abs(secure - plain).max() <= averaging.error(sum(rows))


def test_without_secure_aggregation_the_result_is_the_same(tmp_path: Path) -> None:
    secure = write_study(tmp_path, "LogisticRegression")
    run = train(load_study(secure), thirds(tmp_path, secure, "LogisticRegression"), tmp_path / "s")
    more = "[privacy]\nsecure_aggregation = false"
    readable = write_study(tmp_path, "LogisticRegression", more=more)
    joined = thirds(tmp_path, readable, "LogisticRegression")
    plain = train(load_study(readable), joined, tmp_path / "p")
    for one, other in zip(get_parameters(run.model()), get_parameters(plain.model()), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert plain.history()[-1]["accuracy"] == run.history()[-1]["accuracy"]


def test_a_participant_of_a_secure_study_sends_nothing_readable(tmp_path: Path) -> None:
    study = write_study(tmp_path, "LogisticRegression")
    joined = thirds(tmp_path, study, "LogisticRegression")
    contract = load_study(study)
    asked = Instruction(RoundId(contract.digest, "ab" * 16, 1), "fit", np.zeros(18))
    with pytest.raises(ProtocolError, match="an input that it could read"):
        joined[0].participant.contribute_readably(asked)


def test_training_stops_early_and_keeps_the_best_model(tmp_path: Path) -> None:
    stop = "[federation.early_stop]\nmetric = 'loss'\npatience = 2\nmin_delta = 0.01"
    study = write_study(tmp_path, "LogisticRegression", rounds=20, more=stop)
    joined = thirds(tmp_path, study, "LogisticRegression")
    run = train(load_study(study), joined, tmp_path / "run")
    history = run.history()
    assert len(history) < 8
    checkpoint = run.checkpoint()
    assert checkpoint is not None
    best = min(line["loss"] for line in history if line["loss"] is not None)
    kept = next(line for line in history if line["round"] == checkpoint.best_round)
    assert kept["loss"] - best <= 0.01
    for one, other in zip(get_parameters(run.model()), checkpoint.best, strict=True):
        np.testing.assert_array_equal(one, other)
