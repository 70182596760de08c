"""The local runner: a pool of forkserver worker processes on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from blindfit.errors import CiphertextError, IntegrityError, LimitError, UnavailableError
from blindfit.files import private_folder
from server_app.config import Config
from server_app.fair_queue import FairQueue
from server_app.runner import CircuitRef, KeyRef, RunnerStats, RunResult
from server_app.worker_process import RunTimeoutError, WorkerDiedError, WorkerProcess
from server_app.worker_protocol import Answer, Job

_log = logging.getLogger(__name__)
_ATTEMPTS = 2  # a row that killed two workers would kill a third
_RESTART_PAUSE = 1.0  # seconds, when a worker does not even start
_RESULT_SLACK = 4096  # bytes
Done = TypeVar("Done")


class LocalPool:
    """A `Runner` over worker processes. Each has a thread that blocks on its pipe."""

    def __init__(self, config: Config, scratch: Path):
        self._config = config
        self._scratch = scratch
        self._idle: list[WorkerProcess] = []
        self._all: set[WorkerProcess] = set()
        self._waiting: FairQueue[asyncio.Future[WorkerProcess]] = FairQueue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._replaced = 0
        self._closed = False
        # One more than workers, so that a replacement can start while all are busy.
        self._threads = ThreadPoolExecutor(config.worker_count + 1, thread_name_prefix="worker")

    async def start(self) -> None:
        """Start all workers; the first waits about 10 s for the forkserver to import Concrete."""
        shutil.rmtree(self._scratch, ignore_errors=True)  # left by a daemon that was killed
        private_folder(self._scratch)
        await asyncio.gather(*(self._add_worker() for _ in range(self._config.worker_count)))

    async def run(
        self, circuit: CircuitRef, key: KeyRef, ciphertext: bytes, owner: str
    ) -> RunResult:
        """Run one row (see `Runner.run`); retried once when the worker dies."""
        job = self._job(circuit, key)
        for _ in range(_ATTEMPTS):
            worker = await self._acquire(job, owner)
            work = self._spawn(self._run_on(worker, job, ciphertext, circuit.output_size))
            # A caller that goes away leaves the worker to finish: its pipe must stay in step.
            answer = await asyncio.shield(work)
            if answer is not None:
                return _result(*answer)
        raise UnavailableError("the workers that ran this row died", details={"cause": "worker"})

    async def close(self) -> None:
        """End all workers and fail whoever waits for one."""
        self._closed = True
        while self._waiting:
            waiting = self._waiting.take()
            if not waiting.done():
                waiting.set_exception(UnavailableError("the server is shutting down"))
        await asyncio.gather(*(asyncio.to_thread(worker.end) for worker in self._all))
        self._threads.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._scratch)

    def stats(self) -> RunnerStats:
        """Figures of this moment."""
        running = len(self._all) - len(self._idle)
        return RunnerStats(len(self._all), running, len(self._waiting), self._replaced)

    def _job(self, circuit: CircuitRef, key: KeyRef) -> Job:
        return Job(
            circuit=circuit.sha256,
            folder=str(circuit.folder),
            threads=self._config.bootstrap_threads if circuit.bootstraps else 1,
            key_id=key.key_id,
            salt=key.salt.hex(),
            key_path=str(key.path),
            key_size=key.size,
        )

    async def _acquire(self, job: Job, owner: str) -> WorkerProcess:
        """An idle worker, rather one that has the key and the circuit; owners take turns."""
        if self._idle:
            best = max(self._idle, key=lambda w: (job.key_id in w.keys, job.circuit in w.circuits))
            self._idle.remove(best)
            return best
        waiting: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.put(owner, waiting)
        try:
            await asyncio.wait({waiting}, timeout=self._config.limits.run_timeout)
        except asyncio.CancelledError:
            self._stop_waiting(owner, waiting)
            raise
        if not waiting.done():
            self._stop_waiting(owner, waiting)
            raise UnavailableError("no worker got free in time: the server is busy")
        return waiting.result()

    def _stop_waiting(self, owner: str, waiting: asyncio.Future[WorkerProcess]) -> None:
        self._waiting.discard(owner, waiting)
        if not waiting.cancel() and waiting.exception() is None:
            self._release(waiting.result())  # it was given a worker in the same instant

    def _release(self, worker: WorkerProcess) -> None:
        while self._waiting:
            waiting = self._waiting.take()
            if not waiting.done():
                waiting.set_result(worker)
                return
        self._idle.append(worker)

    async def _run_on(
        self, worker: WorkerProcess, job: Job, ciphertext: bytes, output_size: int
    ) -> tuple[Answer, bytes] | None:
        """The answer, or None when the worker died of it."""
        timeout = self._config.limits.run_timeout
        loop = asyncio.get_running_loop()
        limit = output_size + _RESULT_SLACK
        try:
            answer = await loop.run_in_executor(
                self._threads, worker.run, job, ciphertext, limit, timeout
            )
        except WorkerDiedError:
            self._replace(worker, "died")
            return None
        except RunTimeoutError as error:
            self._replace(worker, "took too long")
            raise LimitError(f"the circuit did not finish within {timeout:.0f} s") from error
        except Exception:
            self._replace(worker, "failed")  # its pipe may be out of step
            raise
        self._release(worker)
        return answer

    def _replace(self, worker: WorkerProcess, what: str) -> None:
        if self._closed:
            return
        _log.warning("worker %s %s and is replaced", worker.pid, what)
        self._replaced += 1
        self._all.discard(worker)
        self._spawn(self._end_and_add(worker))

    async def _end_and_add(self, worker: WorkerProcess) -> None:
        await asyncio.to_thread(worker.end)
        while not self._closed:
            try:
                await self._add_worker()
            except (WorkerDiedError, OSError):
                _log.exception("a worker did not start; trying again")
                await asyncio.sleep(_RESTART_PAUSE)
            else:
                return

    async def _add_worker(self) -> None:
        limits = self._config.limits
        worker = WorkerProcess(
            self._scratch, limits.circuits_per_worker, limits.key_bytes_per_worker
        )
        try:
            await asyncio.to_thread(worker.start)
        except (WorkerDiedError, OSError):
            await asyncio.to_thread(worker.end)
            raise
        if self._closed:
            await asyncio.to_thread(worker.end)
        else:
            self._all.add(worker)
            self._release(worker)

    def _spawn(self, work: Coroutine[Any, Any, Done]) -> asyncio.Task[Done]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if the caller went away meanwhile


def _result(answer: Answer, ciphertext: bytes) -> RunResult:
    if answer.outcome == "done":
        return RunResult(ciphertext, answer.seconds)
    if answer.outcome == "refused":
        raise CiphertextError("the circuit does not take this ciphertext")
    raise IntegrityError(f"the server's files are damaged: {answer.text}", hint="tell the operator")
