"""The demo's steps, each with Blindfit's real commands and processes."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blindfit.console import say
from blindfit.errors import BlindfitError
from blindfit.preprocessing import encode, encode_target
from blindfit.rows import read_rows
from blindfit.study import Study, load_study
from client_app.session import Answer, Session
from demo.deployment import PASSPHRASE, Deployment
from demo.programs import Background, ask, command, wait_until
from demo.scan import Snapshots
from examples.prepare import write_example

PARTICIPANTS = 3
CLIENT = "clinic"
_EXAMPLE = Path(__file__).parent.parent / "examples" / "digits" / "study.toml"
_SINGLE_ROWS = 25
_BATCH = 45  # rows a prediction call, so that a rotation is met in the middle of many


@dataclass
class Rotation:
    """What happened to predictions while the keys rotated."""

    old_key_id: str = ""
    new_key_id: str = ""
    predictions_during: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass
class Story:
    """What was deployed, and what was observed."""

    deployment: Deployment
    study: Study
    rows: pd.DataFrame
    truth: NDArray[Any]
    training: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)  # by key_id
    latencies: list[float] = field(default_factory=list)  # of single rows, seconds
    rotation: Rotation = field(default_factory=Rotation)
    snapshots: Snapshots | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The participants' rows and the test set."""
        return self.deployment.folder / "data"

    def encoded(self) -> NDArray[np.float64]:
        """The test rows as they are encrypted, (n, width)."""
        return encode(self.rows, self.study.schema_).X


def tell(folder: Path, rounds: int | None = None) -> Story:
    """Run the whole demo in ``folder``, which is emptied first; ``rounds`` replaces the study's."""
    shutil.rmtree(folder, ignore_errors=True)
    say("· splitting scikit-learn's digits: three participants, and a test set nobody trains on")
    write_example("digits", folder / "data", PARTICIPANTS)
    path = _write_study(folder, rounds)
    schema = load_study(path).schema_
    test = read_rows(folder / "data" / "test.csv", schema, with_target=True)
    started = time.perf_counter()
    say("· starting a server: its own certificate authority, TLS, FHE workers")
    with Deployment(folder, record=True) as deployment, ExitStack() as stack:
        _enroll(deployment)
        study = _pin(deployment, path)
        story = Story(deployment, study, test, encode_target(test, schema))
        _train(story, stack)
        _predict_and_rotate(story)
    story.seconds["total"] = time.perf_counter() - started
    return story


def _write_study(folder: Path, rounds: int | None) -> Path:
    text = _EXAMPLE.read_text()
    if rounds is not None:
        text = re.sub(r"rounds = \d+", f"rounds = {rounds}", text)
    path = folder / "study.toml"
    path.write_text(text)
    return path


def _enroll(deployment: Deployment) -> None:
    say(f"· inviting and enrolling {PARTICIPANTS} participants and a client")
    for name in _participants():
        deployment.enroll(name, "--participant")
    deployment.enroll(CLIENT)


def _pin(deployment: Deployment, path: Path) -> Study:
    """The study with its participants' keys: the server cannot invent any then."""
    say("· writing the participants' keys into the study, which each of them accepts by its digest")
    ask("blindfit-server", "study", "pin", path, "--home", deployment.server)
    return load_study(path)


def _participants() -> list[str]:
    return [f"hospital-{number}" for number in range(1, PARTICIPANTS + 1)]


def _train(story: Story, stack: ExitStack) -> None:
    rounds, deployment = story.study.federation.rounds, story.deployment
    study = deployment.folder / "study.toml"
    say(
        f"· training {rounds} rounds with real Flower processes and secure aggregation (the server "
        "learns sums, and no hospital's update), then compiling to FHE"
    )
    stored = deployment.server / "federation"
    snapshots = Snapshots(stored)
    log = deployment.folder / "train.log"
    arguments = [stored / "superlink.sqlite", study, "--home", deployment.server, "--json"]
    train = Background([sys.executable, "-m", "demo.recording_train", *map(str, arguments)], log)
    stack.callback(train.stop)
    for number, name in enumerate(_participants(), start=1):
        join = Background(
            command("blindfit-client", "join", study, "--home", deployment.home(name),
                    "--data", story.data / f"participant-{number}.csv",
                    "--accept", story.study.digest),
            deployment.folder / f"{name}.log",
        )  # fmt: skip
        stack.callback(join.stop)
    shown = _Tail(log)

    def watch() -> bool:
        snapshots.take()
        shown.show()
        return not train.running

    wait_until(watch, 600, "training")
    story.snapshots = snapshots
    story.training = json.loads(train.wait(10))


class _Tail:
    """Repeats what a log file gains."""

    def __init__(self, path: Path):
        self._path = path
        self._shown = 0

    def show(self) -> None:
        """Print complete lines that are new."""
        content = self._path.read_text()
        end = content.rfind("\n") + 1
        for line in content[self._shown : end].splitlines():
            say(f"    {line}")
        self._shown = max(self._shown, end)


def _predict_and_rotate(story: Story) -> None:
    say("· creating the client's keys (they stay here, sealed)")
    deployment, model = story.deployment, story.study.name
    deployment.keys("create", CLIENT, model)
    say(f"· predicting {len(story.rows)} encrypted rows, and rotating the keys meanwhile")
    with _session(story) as session:
        story.rotation.old_key_id = session.key_id
        _predict_all(story, session)
        _predict_one_by_one(story, session)
        rotate = Background(
            command("blindfit-keys", *deployment.key_arguments("rotate", CLIENT, model), "--json"),
            deployment.folder / "rotate.log",
        )
        started = time.perf_counter()
        while rotate.running:
            _predict_during(story, session)
        rotate.wait(10)
        story.rotation.seconds = time.perf_counter() - started
        _predict_all(story, session)  # by now with the new key, in the same session
        story.rotation.new_key_id = session.key_id


def _session(story: Story) -> Session:
    return Session.open(story.deployment.home(CLIENT), story.study.name, PASSPHRASE.encode)


def _predict_all(story: Story, session: Session) -> None:
    answer = session.predict(story.rows)
    story.answers.setdefault(session.key_id, []).append(answer)


def _predict_one_by_one(story: Story, session: Session) -> None:
    """Latencies without a queue: a row is sent when the one before has been decrypted."""
    for index in range(_SINGLE_ROWS):
        traffic = session.predict(story.rows.iloc[index : index + 1]).traffic
        story.latencies += traffic.latencies


def _predict_during(story: Story, session: Session) -> None:
    """A batch of rows whose results must be those of the first time, whatever their key."""
    known = story.answers[story.rotation.old_key_id][0].quantized
    start = story.rotation.predictions_during % (len(story.rows) - _BATCH)
    batch = slice(start, start + _BATCH)
    story.rotation.predictions_during += _BATCH
    try:
        answer = session.predict(story.rows.iloc[batch].reset_index(drop=True))
    except BlindfitError as error:
        say(f"    a batch failed: {error}")
        story.rotation.failed += _BATCH
        return
    wrong = (answer.quantized != known[batch]).any(axis=1)
    story.rotation.failed += int(wrong.sum())
