"""The daemon's end of one worker process. Its methods block: they are called from threads."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
from pathlib import Path
from tempfile import mkdtemp

from server_app.worker_entry import WorkerSettings, worker_main
from server_app.worker_protocol import MAX_HEADER, Answer, Job

_START_TIMEOUT = 180.0  # seconds; the first one waits until the forkserver has imported Concrete
_END_TIMEOUT = 5.0
_PRELOAD = ["__main__", "server_app.worker_preload"]


class WorkerDiedError(Exception):
    """The worker ended, or said something that no honest worker says."""


class RunTimeoutError(Exception):
    """The worker did not answer in time, and was ended."""


class WorkerProcess:
    """A process that runs one row at a time. It is replaced when it dies, never restarted."""

    def __init__(self, scratch_root: Path, circuits: int, key_bytes: int):
        # A forkserver, because gRPC does not survive a fork of the daemon, and Concrete takes 10 s
        # to import: a new worker is a copy of a process that has it.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOAD)
        self._scratch = mkdtemp(prefix="worker-", dir=scratch_root)
        self._connection, child = context.Pipe()
        settings = WorkerSettings(self._scratch, circuits, key_bytes)
        self._process = context.Process(target=worker_main, args=(child, settings), daemon=True)
        self._child = child
        self.circuits: frozenset[str] = frozenset()
        self.keys: frozenset[str] = frozenset()

    @property
    def pid(self) -> int | None:
        """The process, once started."""
        return self._process.pid

    def start(self) -> None:
        """Start and wait until the worker is ready; raises `WorkerDiedError`."""
        self._process.start()
        self._child.close()  # else the pipe would not end with the worker
        try:
            ready = self._receive(_START_TIMEOUT, MAX_HEADER)
        except RunTimeoutError as error:
            raise WorkerDiedError("the worker did not start") from error
        if ready != b"ready":
            raise WorkerDiedError("the worker did not start")

    def run(
        self, job: Job, ciphertext: bytes, max_result: int, timeout: float
    ) -> tuple[Answer, bytes]:
        """Have a row run; raises `WorkerDiedError` or `RunTimeoutError`, after which it is over."""
        try:
            self._connection.send_bytes(job.to_bytes())
            self._connection.send_bytes(ciphertext)
        except OSError as error:
            raise WorkerDiedError("the worker is gone") from error
        try:
            answer = Answer.from_bytes(self._receive(timeout, MAX_HEADER))
        except ValueError as error:
            raise WorkerDiedError("the worker answered nonsense") from error
        self.circuits, self.keys = frozenset(answer.circuits), frozenset(answer.keys)
        result = self._receive(timeout, max_result) if answer.outcome == "done" else b""
        return answer, result

    def end(self) -> None:
        """End the process now, whatever it does, and remove its files."""
        if self._process.pid is not None:
            self._process.kill()
            self._process.join(_END_TIMEOUT)
        self._connection.close()
        self._child.close()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._scratch)

    def _receive(self, timeout: float, limit: int) -> bytes:
        try:
            if not self._connection.poll(timeout):
                raise RunTimeoutError
            return self._connection.recv_bytes(limit)
        except (EOFError, OSError) as error:
            raise WorkerDiedError("the worker died") from error
