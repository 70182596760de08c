"""One federated training from start to end: SuperLink, registration, run, and its progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blindfit.errors import InputError, TrainingError
from blindfit.events import Event, EventReader
from blindfit.study import Study
from server_app.run_folder import RunFolder
from server_app.superlink import SuperLink, Tls

Report = Callable[[Event], None]
_POLL_SECONDS = 0.2
_SLACK_SECONDS = 180.0  # beyond the study's own bounds, before silence counts as a failure


def train_federated(
    home: Path, study: Study, participants: dict[str, str], address: str, tls: Tls, report: Report
) -> RunFolder:
    """Train ``study`` with ``participants`` (name to OpenSSH public key) over real Flower.

    Listens at ``address``; ``report`` gets the run's events. Raises `InputError` for fewer
    participants than the study needs, and `TrainingError`; the last good model stays in the run's
    folder, which is returned.
    """
    needed = study.federation.min_participants
    if len(participants) < needed:
        raise InputError(
            f"the study needs {needed} participants; {len(participants)} are known",
            hint="invite them, or name their keys with --participant KEY.pub",
        )
    run = RunFolder.create(_new_path(home, study), study, {})
    report({"event": "starting", "folder": str(run.path), "address": address})
    with SuperLink(run, address, tls) as link:
        with link.control() as control:
            run.name_participants({control.register(*who): who[0] for who in participants.items()})
            control.start_run()
        report({"event": "listening", "address": address, "participants": sorted(participants)})
        _follow(run, link, study, report)
    return run


def training_record(study: Study, run: RunFolder) -> dict[str, Any]:
    """What is published about the training: counts and scores, and no participant's name."""
    history = [
        line | {"participants": len(line["participants"]), "refused": len(line["refused"])}
        for line in run.history()
    ]
    return {
        "algorithm": study.federation.algorithm,
        "participants": max((line["participants"] for line in history), default=0),
        "rows": max((line["rows"] for line in history), default=0),
        "rounds": len(history),
        "history": history,
    }


def _new_path(home: Path, study: Study) -> Path:
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return home / "federation" / study.name / started


def _follow(run: RunFolder, link: SuperLink, study: Study, report: Report) -> None:
    federation = study.federation
    patience = max(federation.join_timeout, federation.round_timeout) + _SLACK_SECONDS
    reader, heard = EventReader(run.events), time.monotonic()
    while True:
        for event in reader.read():
            heard = time.monotonic()
            report(event)
            if event["event"] == "finished":
                return
            if event["event"] == "failed":
                raise TrainingError(event["reason"], hint=event["hint"])
        if not link.alive:
            raise TrainingError(f"Flower's SuperLink ended:\n{link.log_tail()}")
        if time.monotonic() - heard > patience:
            raise TrainingError(
                f"nothing was heard from the training for {patience:g} s",
                hint=f"see {run.path / 'superlink.log'}",
            )
        time.sleep(_POLL_SECONDS)
