"""`join`: runs Flower's SuperNode and the process that trains, until the study ends.

Three processes: this one, which has no rows; the SuperNode, which talks to the server; and
`client_app.app_host`, which has the rows and talks to the SuperNode only.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blindfit.dataset import load
from blindfit.errors import IntegrityError, RowsError, TrainingError, UnavailableError
from blindfit.events import Event, EventReader
from blindfit.files import private_folder, sync_folder, write_atomic
from blindfit.flower_process import FlowerProcess, free_port
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
SETTLE_SECONDS = 5.0  # for the last reply to leave before the SuperNode is ended
START_SECONDS = 120.0  # for the process that trains to read the rows
_POLL_SECONDS = 0.5
_RESTART_SECONDS = 2.0
_HOST = ["python", "-m", "client_app.app_host"]
Report = Callable[[Event], None]


@dataclass(frozen=True)
class Participation:
    """What a participant brings: study, rows, and where and as whom it takes part.

    ``key`` is the file of the key that the SuperNode and the updates are known by, ``credentials``
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

    ``report`` gets events: checked, confined, waiting, connected, roster, trained, refused,
    finished.
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
        self._port, self._runner_key = free_port(), secrets.token_bytes(32)
        self._rounds: set[int] = set()
        self._connected = False

    def run(self, rows: int) -> Outcome:
        self._wait_for_server(time.monotonic() + self._patience)
        with self._host() as host:
            self._wait_until_ready(host)
            return self._take_part(rows, host)

    def _take_part(self, rows: int, host: FlowerProcess) -> Outcome:
        deadline = time.monotonic() + self._patience
        while True:
            self._wait_for_server(deadline)
            with self._supernode() as process:
                end = self._follow(process, host)
                if end is not None:
                    self._forwarder.expect_end()
                    self._settle()
                    return Outcome(rows, len(self._rounds), end["score"], end["loss"])
                # The coordinator may not have registered this participant yet.
                reason = self._forwarder.trouble or process.log_tail()
            if self._rounds:
                deadline = time.monotonic() + self._patience
            elif time.monotonic() >= deadline:
                raise UnavailableError(
                    f"the server at {self._with.server} does not admit this participant:\n{reason}",
                    hint="ask the coordinator whether this participant's key is registered",
                )
            time.sleep(_RESTART_SECONDS)

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
            port=self._port,
            secret=self._runner_key.hex(),
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

    def _supernode(self) -> FlowerProcess:
        secret = self._folder / "superexec.secret"
        if not secret.exists():
            write_atomic(secret, self._runner_key)
        command = [
            *("python", "-m", "client_app.supernode", "--superlink", self._forwarder.address),
            *("--root-certificates", str(self._forwarder.ca)),
            *("--auth-supernode-private-key", str(self._with.key.resolve())),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--isolation", "process", "--superexec-auth-secret-file", str(secret)),
        ]
        # A proxy that the machine is set to use is none for what is on the machine.
        direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        log = self._folder / "supernode.log"
        return FlowerProcess(command, self._folder, log, environment=direct)

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
        if not self._connected:
            self._report({"event": "connected", "server": self._with.server})
            self._connected = True

    def _follow(self, process: FlowerProcess, host: FlowerProcess) -> Event | None:
        """The event with which the study finished; None when the SuperNode ended by itself."""
        last_seen = next_probe = time.monotonic()
        while process.alive:
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
                next_probe = now + 10 * _POLL_SECONDS
            if now - last_seen > GONE_SECONDS:
                raise UnavailableError(
                    f"the server at {self._with.server} has been gone for {GONE_SECONDS:g} s",
                    hint="ask the coordinator how the training ended, or join again",
                )
            time.sleep(_POLL_SECONDS)
        return None

    def _take(self, event: Event) -> None:
        self._report(event)
        name = event["event"]
        if name == "trained":
            self._rounds.add(event["round"])
        elif name == "ended":
            raise TrainingError(f"the coordinator ended the study: {event['reason']}")
        elif name == "foreign_app":
            self._settle()  # so that the coordinator gets the refusal
            raise IntegrityError(
                event["reason"],
                hint="nothing was run; ask the coordinator, and do not join until it is explained",
            )

    def _is_up(self) -> bool:
        return takes_calls(self._with.server, self._with.ca, self._with.credentials)

    def _settle(self) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and self._is_up():
            time.sleep(_POLL_SECONDS)
