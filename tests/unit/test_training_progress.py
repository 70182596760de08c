"""What a person sees of a training besides its rounds: failures, stages, what is kept."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from fixtures_privacy import private_study
from rich.console import Console
from test_training_rounds import SECOND_NEVER_TRAINS, conduct_silently, halves, write_study

from blindfit.errors import TrainingError
from blindfit.events import Event, EventReader
from blindfit.study import Study
from server_app.progress import _Lines, _LiveTable, describe, training_progress, what_is_learned

STAGES = ("keys", "shares", "inputs", "survivors", "unmasking")
HOSTILE = "round 2: too few (carla: bye [/x] [red]\x1b[2J\x9b5m\nround 9: fine)"


def round_event(name: str = "round_aggregated", number: int = 2, **measured: Any) -> Event:
    return {
        "event": name,
        "round": number,
        "participants": ["anna", "berta"],
        "refused": {},
        "rows": 1400,
        "seconds": 3.21,
        "loss": None,
        "accuracy": None,
        "r2": None,
    } | measured


def shown(table: _LiveTable) -> str:
    file = io.StringIO()
    Console(file=file, width=150, force_terminal=True, color_system=None).print(table.render())
    return file.getvalue()


def after(*events: Event) -> str:
    table = _LiveTable()
    for event in events:
        table.take(event)
    return shown(table)


def test_a_failed_round_and_a_kept_model_read_as_one_line_each() -> None:
    failed = {"event": "round_failed", "round": 3, "reason": "round 3: 1 participants confirmed"}
    assert describe(failed) == "failed: round 3: 1 participants confirmed"
    kept = {"event": "kept", "round": 4}
    assert describe(kept) == "early stopping: the model of round 4 is kept as the best one"


def test_a_peers_text_in_a_failure_steers_nothing() -> None:
    failed = {"event": "round_failed", "round": 2, "reason": HOSTILE}
    line = describe(failed)
    assert line == ("failed: round 2: too few (carla: bye [/x] [red]�[2J�5m round 9: fine)")
    text = after(failed)
    assert "bye [/x] [red]" in text
    assert "\x1b[2J" not in text and "\x9b" not in text
    assert not [part for part in text.splitlines() if part.startswith("round 9")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_caption_and_no_line(stage: str) -> None:
    event = {"event": "stage", "stage": stage}
    started = {"event": "round_started", "round": 2, "participants": ["anna", "berta"]}
    assert describe(event) == ""
    before, text = after(started), after(started, event)
    assert text.startswith(before.rstrip("\n"))
    assert len(text.split()) > len(before.split()) + 1
    # The next stage takes its place, and the end of the round takes it away.
    others = [name for name in STAGES if name != stage]
    assert after(started, event, {"event": "stage", "stage": others[0]}) == after(
        started, {"event": "stage", "stage": others[0]}
    )
    assert after(started, event, round_event()) == after(round_event())
    before = round_event("round_finished", 1, loss=0.5, accuracy=0.9)
    assert after(started, event, before) == after(before, started, event)


def test_a_stage_of_a_later_version_is_not_shown() -> None:
    assert after({"event": "stage", "stage": "[bold]new\x1b[2J"}) == after()


def test_failures_stay_in_sight_below_the_table() -> None:
    failures = [
        {"event": "round_failed", "round": 2, "reason": f"round 2: attempt {number}"}
        for number in range(1, 8)
    ]
    again = {"event": "round_started", "round": 2, "participants": ["anna"]}
    text = after(round_event(number=1), *failures, again, {"event": "kept", "round": 1})
    lines = [line.strip() for line in text.splitlines()]
    assert [line for line in lines if line.startswith("failed")] == [
        f"failed: round 2: attempt {number}" for number in (4, 5, 6, 7)
    ]
    assert lines[-1] == "early stopping: the model of round 1 is kept as the best one"


def test_rows_that_nobody_told_are_not_made_up() -> None:
    event = round_event("round_finished", rows=None, accuracy=0.75)
    assert describe(event) == "round 2: 2 participants, accuracy 0.7500, 3.2 s"
    assert "?" in after(event)


def test_a_last_round_without_a_score_has_its_line_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with training_progress() as report:  # no terminal
        report(round_event(number=1))
        report({"event": "stage", "stage": "unmasking"})
        assert capsys.readouterr().err == ""
        report(round_event("round_finished", 1, loss=0.5, accuracy=0.9))
        report(round_event(number=2))
        report({"event": "finished"})
    assert capsys.readouterr().err.splitlines() == [
        "round 1: 2 participants, 1,400 rows, loss 0.5000, accuracy 0.9000, 3.2 s",
        "round 2: 2 participants, 1,400 rows, not scored, 3.2 s",
    ]


@pytest.mark.parametrize("end", ["finished", "failed"])
def test_a_scored_last_round_is_not_told_twice(
    end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _Lines()
    lines.take(round_event())
    lines.take(round_event("round_finished", loss=0.5, accuracy=0.9))
    lines.take({"event": end})
    assert len(capsys.readouterr().err.splitlines()) == 1


def off(study: Study) -> Study:
    privacy = study.model_dump(by_alias=True)["privacy"] | {"secure_aggregation": False}
    return study.model_validate(study.model_dump(by_alias=True) | {"privacy": privacy})


def test_it_is_said_whether_updates_can_be_read(study: Study) -> None:
    private = private_study("Ridge", honest=1)
    assert "summed under masks" in what_is_learned(study)
    assert "noise" not in what_is_learned(study)
    assert "sum alone, with noise in it (so losses and scores" in what_is_learned(private)
    assert what_is_learned(off(study)).startswith("warning: the study turns secure aggregation off")
    assert what_is_learned(off(study)).endswith("read every participant's update")
    assert "update, with the noise that it added (so" in what_is_learned(off(private))


def test_the_events_of_a_real_training_can_be_shown(tmp_path: Path) -> None:
    """Of one whose second participant stops to answer after the first round."""
    study = write_study(tmp_path, "LogisticRegression")
    joined = halves(tmp_path, study, "LogisticRegression")
    with pytest.raises(TrainingError):
        conduct_silently(tmp_path, study, joined, SECOND_NEVER_TRAINS)
    events = EventReader(tmp_path / "run" / "events.jsonl").read()
    names = {event["event"] for event in events}
    assert {"stage", "round_failed", "round_aggregated", "failed"} <= names
    assert {event["stage"] for event in events if event["event"] == "stage"} <= set(STAGES)
    text = after(*events)
    assert "failed: round 2: 1 participants sent an input; 2 are needed" in " ".join(text.split())
