"""One federated training from start to end: SuperLink, registration, run, and its progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from blindfit.errors import InputError, StudyError, TrainingError
from blindfit.events import Event, EventReader
from blindfit.federation_messages import MAX_WORDS
from blindfit.roster import Roster
from blindfit.secagg.group import Group
from blindfit.study import Study
from server_app.control import Control
from server_app.learning import make_learner
from server_app.run_folder import RunFolder
from server_app.superlink import SuperLink, Tls

Report = Callable[[Event], None]
_POLL_SECONDS = 0.2
_LOOK_SECONDS = 5.0  # between looks whether Flower's processes are still there
_SLACK_SECONDS = 180.0  # beyond the study's own bounds, before silence counts as a failure


def new_run(home: Path, study: Study, roster: Roster) -> RunFolder:
    """A folder for a new run of ``study`` with ``roster``.

    Raises `InputError` for fewer participants than the study needs, and `StudyError` for a
    threshold that they cannot meet, for sums that could overflow and for models that no message has
    room for.
    """
    needed = study.federation.min_participants
    if len(roster) < needed:
        raise InputError(
            f"the study needs {needed} participants; {len(roster)} are known",
            hint="invite them, or name their keys with --participant KEY.pub",
        )
    if study.privacy.secure_aggregation:
        Group.of(study, roster)
    length = make_learner(study, len(roster)).length("fit")
    if length > MAX_WORDS:
        raise StudyError(
            f"a participant would send {length:,} numbers; a message has room for {MAX_WORDS:,}",
            hint="train with fewer features, or fewer categories and classes",
        )
    return RunFolder.create(_new_path(home, study), study, roster)


def last_run(home: Path, study: Study) -> RunFolder:
    """The newest run of ``study`` below ``home``; raises `InputError` without one."""
    folders = sorted((home / "federation" / study.name).glob("*Z"), reverse=True)
    for run in map(RunFolder, folders):
        if run.is_whole and run.study().digest == study.digest:
            return run
    raise InputError(
        f"there is no run of this study in {home / 'federation' / study.name}",
        hint="leave --resume out; a study that was changed is another study",
    )


def train_federated(run: RunFolder, address: str, tls: Tls, report: Report) -> None:
    """Train the run's study, or what is left of it, with its participants over real Flower.

    Listens at ``address``; ``report`` gets the run's events. Raises `TrainingError`; the last good
    model stays in the run's folder.
    """
    study, roster = run.study(), run.roster()
    report({"event": "starting", "folder": str(run.path), "address": address})
    events = EventReader(run.events, from_now=True)
    with SuperLink(run, address, tls) as link, link.control() as control:
        nodes = {control.register(m.name, m.key): m.name for m in roster.members}
        run.name_participants(nodes)
        run_id = control.start_run()
        names = [member.name for member in roster.members]
        report({"event": "listening", "address": address, "participants": names})
        _follow(run, events, partial(_require_alive, link, control, run_id), study, report)


def training_record(study: Study, run: RunFolder) -> dict[str, Any]:
    """What is published about the training: counts and scores, and no participant's name."""
    history = [
        line | {"participants": len(line["participants"]), "refused": len(line["refused"])}
        for line in run.history()
    ]
    checkpoint = run.checkpoint()
    last = history[-1]["round"] if history else 0
    kept = checkpoint.best_round if checkpoint and study.federation.early_stop else 0
    return {
        "algorithm": study.algorithm,
        "secure_aggregation": study.privacy.secure_aggregation,
        "known_participants": len(run.roster()),
        "participants": max((line["participants"] for line in history), default=0),
        "rows": max((line["rows"] for line in history if line["rows"] is not None), default=None),
        "rounds": len(history),
        "kept_round": kept or last,
        "history": history,
    }


def _new_path(home: Path, study: Study) -> Path:
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return home / "federation" / study.name / started


def _follow(
    run: RunFolder,
    events: EventReader,
    require_alive: Callable[[], None],
    study: Study,
    report: Report,
) -> None:
    federation = study.federation
    patience = max(federation.join_timeout, federation.round_timeout) + _SLACK_SECONDS
    heard = looked = time.monotonic()
    ended: TrainingError | None = None
    while True:
        for event in events.read():
            heard = time.monotonic()
            report(event)
            if event["event"] == "finished":
                return
            if event["event"] == "failed":
                raise TrainingError(event["reason"], hint=event["hint"])
        if ended is not None:
            raise ended  # and its last event had time to come
        if time.monotonic() - looked > _LOOK_SECONDS:
            looked, ended = time.monotonic(), _failure(require_alive)
        if time.monotonic() - heard > patience:
            raise TrainingError(
                f"nothing was heard from the training for {patience:g} s",
                hint=f"see {run.path / 'superlink.log'}",
            )
        time.sleep(_POLL_SECONDS)


def _failure(check: Callable[[], None]) -> TrainingError | None:
    try:
        check()
    except TrainingError as error:
        return error
    return None


def _require_alive(link: SuperLink, control: Control, run_id: int) -> None:
    """Raises `TrainingError` if Flower's SuperLink, or the ServerApp in it, is no more."""
    hint = "go on with `blindfit-server train --resume`"
    if not link.alive:
        raise TrainingError(f"Flower's SuperLink ended:\n{link.log_tail()}", hint=hint)
    if control.has_ended(run_id):
        raise TrainingError(f"the coordinator's Flower app ended:\n{link.log_tail()}", hint=hint)
