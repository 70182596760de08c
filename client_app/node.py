"""`join`: runs the process that trains, until the study ends.

Two processes: this one keeps no rows and carries the connection to the server, with TLS;
`client_app.app_host` has the rows, is confined, and is a node of Flower's over that connection.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blindfit.address import split_address
from blindfit.dataset import load
from blindfit.errors import IntegrityError, RowsError, TrainingError, UnavailableError
from blindfit.events import Event, EventReader
from blindfit.files import private_folder, sync_folder
from blindfit.flower_process import FlowerProcess
from blindfit.preprocessing import OutOfBounds
from blindfit.study import Study, load_study
from client_app.accepted import study_folder
from client_app.app_host import HostTask
from client_app.data_sets import DEFAULT_DATASET
from client_app.fleet_probe import takes_calls
from client_app.sandbox import clean_environment
from client_app.tls_forwarder import TlsForwarder
from keys.participant import participant_key_pem

GONE_SECONDS = 60.0  # how long a server that was there may be away
SETTLE_SECONDS = 5.0  # for the last reply to leave before the process that trains is ended
START_SECONDS = 120.0  # for the process that trains to read the rows
_POLL_SECONDS = 0.5
_PROBE_SECONDS = 5.0  # between looks whether the server is there
_HOST = ["python", "-m", "client_app.app_host"]
Report = Callable[[Event], None]


@dataclass(frozen=True)
class Participation:
    """What a participant brings: study, rows, and where and as whom it takes part.

    ``key`` is the file of the key that the node and the updates are known by, ``credentials``
    that of the client certificate, for a server behind a proxy that asks for one. ``dataset`` names
    the rows in the privacy ledger.
    """

    home: Path
    study: Path
    data: Path
    out_of_bounds: OutOfBounds
    server: str
    ca: Path
    key: Path
    credentials: Path | None = None
    dataset: str = DEFAULT_DATASET


@dataclass(frozen=True)
class Outcome:
    """How it went here: rows used, rounds taken part in, and the final model on these rows."""

    rows: int
    rounds: int
    score: float | None
    loss: float | None


def take_part(participation: Participation, report: Report) -> Outcome:
    """Check the rows, then take part until the coordinator is done.

    ``report`` gets events: checked, confined, waiting, connected, admitted, unadmitted,
    unconnected, roster, trained, refused, foreign_app.
    Raises `RowsError` before anything is sent, `UnavailableError` when the server is not there for
    the study's ``join_timeout`` or goes away, `TrainingError` when the coordinator gave up, and
    `IntegrityError` when it ships another app than the study's.
    """
    study = load_study(participation.study)
    rows = _checked(study, participation, report)
    with (
        tempfile.TemporaryDirectory(prefix="blindfit-join-") as folder,
        TlsForwarder(
            participation.server, participation.ca, participation.credentials
        ) as forwarder,
    ):
        return _Node(participation, study, Path(folder), forwarder, report).run(rows)


def _checked(study: Study, participation: Participation, report: Report) -> int:
    """How many rows there are. They are read here to be checked, and not kept."""
    data = load(study, participation.data, participation.out_of_bounds)
    most = study.privacy.max_rows
    if len(data.X) > most:
        raise RowsError(
            f"{participation.data} has {len(data.X)} rows; the study has room for {most}",
            hint="ask the coordinator to raise privacy.max_rows",
        )
    report({"event": "checked", "rows": len(data.X), "warning": data.warning})
    return len(data.X)


@dataclass(frozen=True)
class _Outside:
    """Since when the server does not take this node's calls (monotonic seconds), and why."""

    since: float
    reason: str


class _Node:
    def __init__(
        self,
        participation: Participation,
        study: Study,
        folder: Path,
        forwarder: TlsForwarder,
        report: Report,
    ) -> None:
        self._with, self._study, self._folder = participation, study, folder
        self._forwarder, self._report = forwarder, report
        self._patience = study.federation.join_timeout
        self._events = EventReader(folder / "events" / "events.jsonl")
        self._rounds: set[int] = set()
        self._outside: _Outside | None = _Outside(time.monotonic(), "it did not connect")

    def run(self, rows: int) -> Outcome:
        self._wait_for_server(time.monotonic() + self._patience)
        with self._host() as host:
            self._wait_until_ready(host)
            end = self._follow(host)
            self._forwarder.expect_end()
            self._settle()
            return Outcome(rows, len(self._rounds), end["score"], end["loss"])

    @contextmanager
    def _host(self) -> Iterator[FlowerProcess]:
        home, study = self._with.home, self._study
        memory = private_folder(study_folder(home, study)) / "run.json"
        budget = private_folder(home / "privacy")
        sync_folder(home)  # the process that trains may not: a ledger that is lost would be empty
        events = private_folder(self._folder / "events") / "events.jsonl"
        task = HostTask(
            study=str(self._with.study.resolve()),
            digest=study.digest,
            data=str(self._with.data.resolve()),
            out_of_bounds=self._with.out_of_bounds,
            identity=participant_key_pem(self._with.key),
            memory=str(memory.resolve()),
            budget=str(budget.resolve()),
            dataset=self._with.dataset,
            events=str(events),
            port=split_address(self._forwarder.address)[1],
            ca=self._forwarder.ca.read_text(encoding="ascii"),
            secret_paths=[str(home / "keys"), str(home / "identity")],
        )
        with FlowerProcess(
            _HOST,
            self._folder,
            self._folder / "host.log",
            stdin=task.to_bytes(),
            inherited=clean_environment(),
        ) as process:
            yield process

    def _wait_until_ready(self, host: FlowerProcess) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            for event in self._events.read():
                if event["event"] == "ready":
                    return
                self._report(event)
            if not host.alive or time.monotonic() >= deadline:
                raise TrainingError(f"the training process did not start:\n{host.log_tail()}")
            time.sleep(0.1)

    def _wait_for_server(self, deadline: float) -> None:
        told = False
        while not self._is_up():
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"no server at {self._with.server} within {self._patience:g} s",
                    hint="ask the coordinator whether `blindfit-server train` runs",
                )
            if not told:
                self._report({"event": "waiting", "server": self._with.server})
                told = True
            time.sleep(1.0)
        self._report({"event": "connected", "server": self._with.server})

    def _follow(self, host: FlowerProcess) -> Event:
        """The event with which the study finished."""
        last_seen = next_probe = time.monotonic()
        while True:
            for event in self._events.read():
                if event["event"] == "finished":
                    return event
                self._take(event)
            if not host.alive:
                raise TrainingError(f"the training process ended:\n{host.log_tail()}")
            now = time.monotonic()
            if now >= next_probe:
                if self._is_up():
                    last_seen = now
                next_probe = now + _PROBE_SECONDS
            self._require_server(now, last_seen)
            time.sleep(_POLL_SECONDS)

    def _require_server(self, now: float, last_seen: float) -> None:
        if now - last_seen > GONE_SECONDS:
            raise UnavailableError(
                f"the server at {self._with.server} has been gone for {GONE_SECONDS:g} s",
                hint="ask the coordinator how the training ended, or join again",
            )
        # The coordinator may not have registered this participant yet.
        if self._outside is not None and now - self._outside.since > self._patience:
            reason = self._forwarder.trouble or self._outside.reason
            raise UnavailableError(
                f"the server at {self._with.server} does not admit this participant: {reason}",
                hint="ask the coordinator whether this participant's key is registered",
            )

    def _take(self, event: Event) -> None:
        name = event["event"]
        if name in ("unadmitted", "unconnected"):
            self._stay_outside(event)
            return
        self._report(event)
        if name == "trained":
            self._rounds.add(event["round"])
        elif name == "admitted":
            self._outside = None
        elif name == "ended":
            raise TrainingError(f"the coordinator ended the study: {event['reason']}")
        elif name == "foreign_app":
            self._settle()  # so that the coordinator gets the refusal
            raise IntegrityError(
                event["reason"],
                hint="nothing was run; ask the coordinator, and do not join until it is explained",
            )

    def _stay_outside(self, event: Event) -> None:
        """Count from the first time; it is tried every few seconds, and told when it changes."""
        before, reason = self._outside, event["reason"]
        self._outside = _Outside(before.since if before else time.monotonic(), reason)
        if before is None or before.reason != reason:
            self._report(event)

    def _is_up(self) -> bool:
        return takes_calls(self._with.server, self._with.ca, self._with.credentials)

    def _settle(self) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and self._is_up():
            time.sleep(_POLL_SECONDS)
