"""`join`: runs Flower's SuperNode for one participant until the study ends."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blindfit.dataset import load
from blindfit.errors import TrainingError, UnavailableError
from blindfit.events import Event, EventReader
from blindfit.files import write_atomic
from blindfit.flower_process import FlowerProcess, free_port
from blindfit.preprocessing import OutOfBounds
from blindfit.study import load_study
from client_app.probe import is_up

GONE_SECONDS = 60.0  # how long a server that was there may be away
SETTLE_SECONDS = 5.0  # for the last reply to leave before the SuperNode is ended
_POLL_SECONDS = 0.5
_RESTART_SECONDS = 2.0
Report = Callable[[Event], None]


@dataclass(frozen=True)
class Participation:
    """What a participant brings: study, rows, and where and as whom it takes part."""

    study: Path
    data: Path
    out_of_bounds: OutOfBounds
    server: str
    ca: Path
    key: Path


@dataclass(frozen=True)
class Outcome:
    """How it went here: rows used, rounds taken part in, and the final model on these rows."""

    rows: int
    rounds: int
    score: float | None
    loss: float | None


def take_part(participation: Participation, report: Report) -> Outcome:
    """Check the rows, then take part until the coordinator is done.

    ``report`` gets events: checked, waiting, connected, trained, refused, finished. Raises
    `RowsError` before anything is sent, `UnavailableError` when the server is not there for the
    study's ``join_timeout`` or goes away, and `TrainingError` when the coordinator gave up.
    """
    study = load_study(participation.study)
    data = load(study, participation.data, participation.out_of_bounds)
    report({"event": "checked", "rows": len(data.X), "warning": data.warning})
    with tempfile.TemporaryDirectory(prefix="blindfit-join-") as folder:
        node = _Node(participation, Path(folder), study.federation.join_timeout, report)
        return node.run(len(data.X))


class _Node:
    def __init__(
        self, participation: Participation, folder: Path, patience: float, report: Report
    ) -> None:
        self._with, self._folder, self._report = participation, folder, report
        self._patience = patience
        self._events = EventReader(folder / "events.jsonl")
        self._rounds: set[int] = set()
        self._connected = False
        write_atomic(folder / "node.toml", _node_config(participation, folder).encode())

    def run(self, rows: int) -> Outcome:
        deadline = time.monotonic() + self._patience
        while True:
            self._wait_for_server(deadline)
            with self._start() as process:
                end = self._follow(process)
                if end is not None:
                    self._settle()
                    return Outcome(rows, len(self._rounds), end["score"], end["loss"])
                # The coordinator may not have registered this participant yet.
                reason = process.log_tail()
            if self._rounds:
                deadline = time.monotonic() + self._patience
            elif time.monotonic() >= deadline:
                raise UnavailableError(
                    f"the server at {self._with.server} does not admit this participant:\n{reason}",
                    hint="ask the coordinator whether this participant's key is registered",
                )
            time.sleep(_RESTART_SECONDS)

    def _wait_for_server(self, deadline: float) -> None:
        told = False
        while not is_up(self._with.server, self._with.ca):
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"no server at {self._with.server} within {self._patience:g} s",
                    hint="ask the coordinator whether `blindfit-server train` runs",
                )
            if not told:
                self._report({"event": "waiting", "server": self._with.server})
                told = True
            time.sleep(1.0)
        if not self._connected:
            self._report({"event": "connected", "server": self._with.server})
            self._connected = True

    def _start(self) -> FlowerProcess:
        return FlowerProcess(
            _command(self._with, self._folder), self._folder, self._folder / "supernode.log"
        )

    def _follow(self, process: FlowerProcess) -> Event | None:
        """The event with which the study finished; None when the SuperNode ended by itself."""
        last_seen = next_probe = time.monotonic()
        while process.alive:
            for event in self._events.read():
                self._report(event)
                if event["event"] == "trained":
                    self._rounds.add(event["round"])
                elif event["event"] == "finished":
                    return event
                elif event["event"] == "ended":
                    raise TrainingError(f"the coordinator ended the study: {event['reason']}")
            now = time.monotonic()
            if now >= next_probe:
                last_seen = now if is_up(self._with.server, self._with.ca) else last_seen
                next_probe = now + 10 * _POLL_SECONDS
            if now - last_seen > GONE_SECONDS:
                raise UnavailableError(
                    f"the server at {self._with.server} has been gone for {GONE_SECONDS:g} s",
                    hint="ask the coordinator how the training ended, or join again",
                )
            time.sleep(_POLL_SECONDS)
        return None

    def _settle(self) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and is_up(self._with.server, self._with.ca):
            time.sleep(_POLL_SECONDS)


def _node_config(participation: Participation, folder: Path) -> str:
    config = {
        "study": str(participation.study.resolve()),
        "data": str(participation.data.resolve()),
        "out-of-bounds": participation.out_of_bounds,
        "events": str(folder / "events.jsonl"),
    }
    # A JSON text is also a TOML text.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())


def _command(participation: Participation, folder: Path) -> list[str]:
    return [
        *("flower-supernode", "--superlink", participation.server),
        *("--root-certificates", str(participation.ca.resolve())),
        *("--auth-supernode-private-key", str(participation.key.resolve())),
        *("--port", str(free_port())),
        *("--node-config", str(folder / "node.toml")),
    ]
