"""The serving process is killed at every step of upload, activation and revocation.

After each kill it is started again, and the client goes on as if only the connection had dropped.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.faults import KillAt
from bench.hand_made import PARAMS, honest, publish
from bench.key_server import KeyServer, Person, enroll, new_home, start
from blindfit.channel import ServerChannel
from blindfit.errors import BlindfitError, UnavailableError
from blindfit.key_id import compute_key_id
from blindfit.upload_window import PIECE_BYTES
from server_app.config import load_config
from server_app.database import Database
from server_app.evaluation_keys import EvaluationKeys
from server_app.key_collection import KeyCollection
from server_app.key_records import KeyRecords
from server_app.layout import Layout
from server_app.quotas import Quotas

KEY_BYTES = 2 * PIECE_BYTES + 4096  # three pieces
_QUOTA = 2  # keys: an upload whose reservation is lost or doubled would show
_TRIES = 5


@dataclass(frozen=True)
class CrashPoints:
    """Points that were tried, and at how many of them nothing was lost."""

    tried: int
    kept: int
    failures: tuple[str, ...]


@dataclass(frozen=True)
class UploadedKey:
    """Evaluation keys of random bytes."""

    content: bytes
    salt: bytes
    key_id: str

    @classmethod
    def make(cls) -> UploadedKey:
        """A new one."""
        content, salt = honest(KEY_BYTES), os.urandom(16)
        return cls(content, salt, compute_key_id(salt, content))


class CrashingServer:
    """A server that dies once, is started again on the same port, and what a client does."""

    def __init__(self, home: Path, person: Person, step: int, journal: Path):
        self._home = home
        self._person = person
        faults = KillAt(home / "evaluation_keys", step, journal)
        self._server = start(home, prepare=faults)
        self._first = self._server.process
        self._watcher = threading.Thread(target=self._restart, daemon=True)
        self._ending = False
        self._watcher.start()

    @property
    def died(self) -> bool:
        """Whether the step was reached."""
        return not self._first.is_alive()

    def _restart(self) -> None:
        self._server.process.join()
        if not self._ending:
            self._server = start(self._home, self._server.address)

    def connect(self) -> ServerChannel:
        """A channel of the tenant."""
        return self._person.connect(self._server.address)

    def end(self) -> None:
        """Kill what runs now."""
        self._ending = True
        server: KeyServer = self._server
        server.kill()
        self._watcher.join()


def measure_server_crashes(work: Path, every: int = 1) -> CrashPoints:
    """Try each ``every``-th step until a run completes without being killed."""
    template = new_home(work / "template")
    publish(template, key_bytes=KEY_BYTES)
    with (template / "config.toml").open("a") as file:
        file.write(f"keys_per_tenant = {_QUOTA}\ngenerations_per_tenant = {_QUOTA}\n")
    person = enroll(template, "clinic")
    tried, failures, step = 0, [], 1
    while True:
        home, journal = work / f"step-{step}", work / f"step-{step}.journal"
        shutil.copytree(template, home)
        server = CrashingServer(home, person, step, journal)
        try:
            found = _life_of_two_keys(server, home)
        except BlindfitError as error:
            found = f"the client was left with {type(error).__name__}: {error}"
        finally:
            died = server.died
            server.end()
        if not died:
            return CrashPoints(tried, tried - len(failures), tuple(failures))
        tried += 1
        if found:
            failures.append(
                f"step {step} ({journal.read_text().split(chr(10))[step - 1]}): {found}"
            )
        shutil.rmtree(home)
        step += every


def _life_of_two_keys(server: CrashingServer, home: Path) -> str:
    """Upload, activate, replace and revoke, over whatever happens; what is wrong at the end."""
    old, new = UploadedKey.make(), UploadedKey.make()
    with server.connect() as channel:
        for key, replaces in ((old, None), (new, old.key_id)):
            channel.upload_key(key.key_id, PARAMS, key.salt, key.content)
            _persist(lambda k=key, r=replaces: channel.activate_key(k.key_id, r))
        _persist(lambda: channel.revoke_key(old.key_id))
        states = {status.key_id: status.state for status in _persist(channel.list_keys)}
    return _wrong_states(states, old, new) or _wrong_home(home, new)


def _persist(call: Callable[[], object]) -> object:
    """As a client whose connection dropped: the same call again."""
    for _ in range(_TRIES):
        with suppress(UnavailableError):
            return call()
        threading.Event().wait(0.3)
    return call()


def _wrong_states(states: dict[str, str], old: UploadedKey, new: UploadedKey) -> str:
    if states != {old.key_id: states.get(old.key_id), new.key_id: "ACTIVE"}:
        return f"the states are {sorted(states.values())}"
    return "" if states[old.key_id] in ("REVOKED", "DELETED") else "the old key is not refused"


def _wrong_home(home: Path, new: UploadedKey) -> str:
    """What the server's folder holds, looked at beside it, and after a collection."""
    layout, limits = Layout.existing(home), load_config(home).limits
    database = Database.open(layout.database)
    records = KeyRecords.open(layout, database)
    try:
        key = EvaluationKeys(records, limits).usable("clinic", new.key_id, PARAMS, prove=False)
        if not key.path.exists() or key.path.read_bytes() != new.content:
            return "the key's bytes are gone or others"
        KeyCollection(records, limits).collect()
        files = [key_id for _, key_id, _ in records.files.stored()]
        if files != [new.key_id]:
            return f"{len(files)} files are left"
        if Quotas(database, limits).used("clinic") != (1, KEY_BYTES):
            return "quota was lost"
    finally:
        database.close()
    return ""
