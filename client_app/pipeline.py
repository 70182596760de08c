"""Encrypt, compute, decrypt as a pipeline: while the server runs one row, the next is encrypted.

Every row is sent until it has an answer: a dropped connection or a restarted worker costs a retry
and no row. A row is encrypted anew for each attempt.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blindfit.channel import ServerChannel
from blindfit.errors import BlindfitError, RowsError, UnavailableError
from blindfit.manifest import Manifest
from blindfit.wire_types import PredictCall, PredictReply
from keys.cipher import Decrypted
from keys.cipher_pool import CipherPool

_ATTEMPTS = 5
_BACKOFF = 0.5  # seconds, doubled with each attempt that got nowhere
_IN_FLIGHT = 4  # rows for each encrypting process


@dataclass
class Traffic:
    """What a prediction cost: bytes by direction, the circuits' own seconds, latencies by row."""

    sent: int = 0
    received: int = 0
    run_seconds: float = 0.0
    retries: int = 0
    seconds: float = 0.0  # wall time for all rows
    latencies: list[float] = field(default_factory=list)  # from encrypting to decrypted, seconds


@dataclass(frozen=True)
class Results:
    """Decrypted results in the order of the rows: whole numbers and scores, (n, outputs) each."""

    quantized: NDArray[np.int64]
    scores: NDArray[np.float64]
    traffic: Traffic


class Pipeline:
    """Predicts rows of one model version with one keyset."""

    def __init__(self, channel: ServerChannel, manifest: Manifest, key_id: str, pool: CipherPool):
        self._channel = channel
        self._manifest = manifest
        self._key_id = key_id
        self._pool = pool

    def run(
        self, X: NDArray[np.float64], on_row: Callable[[int], None] = lambda index: None
    ) -> Results:
        """Predict encoded rows ``X`` (n, width); ``on_row`` is called with each finished index.

        Raises `BlindfitError`: at once for what a retry cannot repair, and after five attempts in
        a row without progress for what is unavailable.
        """
        if not len(X):
            raise RowsError("there are no rows to predict")
        traffic = Traffic()
        started = time.perf_counter()
        done: dict[int, Decrypted] = {}
        attempt = 0
        while len(done) < len(X):
            before = len(done)
            try:
                self._attempt(X, done, traffic, on_row)
            except UnavailableError:
                attempt = 1 if len(done) > before else attempt + 1
                if attempt == _ATTEMPTS:
                    raise
                traffic.retries += 1
                time.sleep(_BACKOFF * 2**attempt)
        traffic.seconds = time.perf_counter() - started
        return Results(
            np.stack([done[i].quantized for i in range(len(X))]),
            np.stack([done[i].scores for i in range(len(X))]),
            traffic,
        )

    def _attempt(
        self,
        X: NDArray[np.float64],
        done: dict[int, Decrypted],
        traffic: Traffic,
        on_row: Callable[[int], None],
    ) -> None:
        """One stream over the rows that are not done; raises its first error at the end."""
        sender = _Sender(self, X, [i for i in range(len(X)) if i not in done])
        failure: BlindfitError | None = None
        decrypting: deque[tuple[int, float, Future[Decrypted]]] = deque()

        def collect(until: int) -> None:
            while len(decrypting) > until:
                index, started, future = decrypting.popleft()
                done[index] = future.result()
                traffic.latencies.append(time.perf_counter() - started)
                on_row(index)

        try:
            for call, reply in self._channel.predict_stream(sender):
                index, started = sender.answered(call)
                traffic.sent += len(call.ciphertext)
                if isinstance(reply, PredictReply):
                    traffic.received += len(reply.ciphertext)
                    traffic.run_seconds += reply.run_seconds
                    decrypting.append((index, started, self._pool.decrypt(reply.ciphertext)))
                    collect(until=self._pool.processes)
                elif isinstance(reply, UnavailableError):
                    failure = reply
                else:
                    raise reply
        finally:
            sender.stop()
        collect(until=0)
        if sender.failure is not None:
            raise sender.failure
        if failure is None and len(done) < len(X):
            failure = UnavailableError("the server ended the stream before every row was answered")
        if failure is not None:
            raise failure

    def call(self, ciphertext: bytes) -> PredictCall:
        """The request for one encrypted row."""
        return PredictCall(
            secrets.token_hex(16),
            self._manifest.model,
            self._manifest.version,
            self._key_id,
            ciphertext,
        )

    def encrypt(self, row: NDArray[np.float64]) -> Future[bytes]:
        """Begin to encrypt an encoded row."""
        return self._pool.encrypt(row)

    @property
    def ahead(self) -> int:
        """How many rows may be between encrypting and decrypted."""
        return _IN_FLIGHT * self._pool.processes


class _Sender:
    """Iterates over requests in gRPC's thread, encrypting a few rows ahead of what was answered."""

    def __init__(self, pipeline: Pipeline, X: NDArray[np.float64], indices: list[int]):
        self._pipeline = pipeline
        self._X = X
        self._indices = indices
        self._room = threading.Semaphore(pipeline.ahead)
        self._sent: dict[str, tuple[int, float]] = {}
        self._stopped = False
        self.failure: BlindfitError | None = None

    def __iter__(self) -> Iterator[PredictCall]:
        encrypting: deque[tuple[int, float, Future[bytes]]] = deque()
        try:
            for index in self._indices:
                while not self._room.acquire(blocking=not encrypting):
                    yield self._finish(*encrypting.popleft())
                if self._stopped:
                    return
                future = self._pipeline.encrypt(self._X[index])
                encrypting.append((index, time.perf_counter(), future))
                while encrypting and encrypting[0][2].done():
                    yield self._finish(*encrypting.popleft())
            while encrypting and not self._stopped:
                yield self._finish(*encrypting.popleft())
        except BlindfitError as error:
            # gRPC would swallow it: the stream ends, and the caller raises it.
            self.failure = error

    def _finish(self, index: int, started: float, future: Future[bytes]) -> PredictCall:
        call = self._pipeline.call(future.result())
        self._sent[call.request_id] = (index, started)
        return call

    def answered(self, call: PredictCall) -> tuple[int, float]:
        """The row's index and when its encryption began; makes room for another row."""
        self._room.release()
        return self._sent.pop(call.request_id)

    def stop(self) -> None:
        """Let the sending thread end, whatever it waits for."""
        self._stopped = True
        self._room.release()
