"""A worker: runs circuits on bytes that came from clients, in a process that may die of them.

The only module of the server's side of predictions that imports Concrete.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from concrete import fhe
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from blindfit.bundle import SERVER_ZIP
from blindfit.key_id import compute_key_id
from server_app.loaded_circuit import LoadedCircuit
from server_app.recently_used import RecentlyUsed
from server_app.worker_entry import WorkerSettings
from server_app.worker_protocol import Answer, Job, Outcome

# What Concrete raises for bytes that it does not take (seen; it has no error of its own).
_CONCRETE_ERRORS = (RuntimeError, AssertionError, ValueError, TypeError)


Loaded = TypeVar("Loaded")


class DamagedError(Exception):
    """A stored key or circuit is not what was stored."""


def serve_jobs(connection: Connection, settings: WorkerSettings) -> None:
    """Answer jobs until the daemon closes the pipe."""
    worker = Worker(settings)
    connection.send_bytes(b"ready")
    while True:
        try:
            job = Job.from_bytes(connection.recv_bytes())
            ciphertext = connection.recv_bytes()
        except EOFError:
            return
        answer, result = worker.answer(job, ciphertext)
        connection.send_bytes(answer.to_bytes())
        if answer.outcome == "done":
            connection.send_bytes(result)


class Worker:
    """Loaded circuits and deserialized keys, kept between jobs.

    Deserializing keys for every row would take 4.3 s instead of 0.7 s for a small decision tree.
    """

    def __init__(self, settings: WorkerSettings):
        self._circuits: RecentlyUsed[LoadedCircuit] = RecentlyUsed(settings.circuits)
        self._keys: RecentlyUsed[Any] = RecentlyUsed(settings.key_bytes)
        self._threads = ThreadpoolController()

    def answer(self, job: Job, ciphertext: bytes) -> tuple[Answer, bytes]:
        """Do a job; the result is empty unless it is done."""
        try:
            # OpenMP makes its threads at the first parallel loop, and idle ones spin: a worker that
            # only ever runs linear circuits never gets a second one.
            with self._threads.limit(limits=job.threads, user_api="openmp"):
                circuit = self._circuit(job)
                key = self._key(job)
                started = time.perf_counter()
                result = circuit.run(ciphertext, key)
                seconds = time.perf_counter() - started
        except DamagedError as error:
            return self._told("damaged", str(error)), b""
        except _CONCRETE_ERRORS as error:
            return self._told("refused", type(error).__name__), b""
        return self._told("done", "", seconds), result

    def _circuit(self, job: Job) -> LoadedCircuit:
        circuit = self._circuits.get(job.circuit)
        if circuit is None:
            circuit = _load("the circuit", lambda: _read_circuit(job))
            self._circuits.put(job.circuit, circuit, 1)
        return circuit

    def _key(self, job: Job) -> Any:
        key = self._keys.get(job.key_id)
        if key is None:
            key = _load("the evaluation key", lambda: _read_key(job))
            self._keys.put(job.key_id, key, job.key_size)
        return key

    def _told(self, outcome: Outcome, text: str, seconds: float = 0.0) -> Answer:
        return Answer(outcome, text, seconds, self._circuits.names(), self._keys.names())


def _read_circuit(job: Job) -> LoadedCircuit:
    path = Path(job.folder, SERVER_ZIP)
    if hashlib.sha256(path.read_bytes()).hexdigest() != job.circuit:
        raise ValueError("server.zip has changed since it was published")
    return LoadedCircuit(path)


def _read_key(job: Job) -> Any:
    content = Path(job.key_path).read_bytes()
    if compute_key_id(bytes.fromhex(job.salt), content) != job.key_id:
        raise ValueError("the file has changed since it was uploaded")
    return fhe.EvaluationKeys.deserialize(content)


def _load(what: str, read: Callable[[], Loaded]) -> Loaded:
    """Errors while loading are the server's; only those of a run are the ciphertext's.

    Details, such as paths, are for the operator and stay in the log.
    """
    try:
        return read()
    except (*_CONCRETE_ERRORS, OSError) as error:
        print(f"{what} cannot be loaded: {error}", file=sys.stderr, flush=True)
        raise DamagedError(f"{what} cannot be loaded") from error
