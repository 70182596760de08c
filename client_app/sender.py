"""The requests of one stream of rows: encrypted a few rows ahead of what has been answered."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import BlindfitError
from blindfit.wire_types import PredictCall

_IN_FLIGHT = 4  # rows for each encrypting process


class Encryption(Protocol):
    """What encrypts rows; `keys.cipher_pool.CipherPool` does."""

    processes: int

    def encrypt(self, row: NDArray[np.float64]) -> Future[bytes]:
        """Begin to encrypt an encoded row (width,)."""


class Sender:
    """Iterates over requests for rows of ``X`` (n, width); gRPC does, in a thread of its own.

    ``call`` makes the request for a ciphertext. When ``outdated`` says so no more rows are
    encrypted, and ``cut`` is set: what was encrypted is still sent and answered.
    """

    def __init__(
        self,
        X: NDArray[np.float64],
        indices: list[int],
        pool: Encryption,
        call: Callable[[bytes], PredictCall],
        outdated: Callable[[], bool],
    ):
        self._X = X
        self._indices = indices
        self._pool = pool
        self._call = call
        self._outdated = outdated
        self._room = threading.Semaphore(_IN_FLIGHT * pool.processes)
        self._sent: dict[str, tuple[int, float, float]] = {}  # index, encrypted from, sent at
        self.cut = False
        self.stopped = False
        self.failure: BlindfitError | None = None

    def __iter__(self) -> Iterator[PredictCall]:
        encrypting: deque[tuple[int, float, Future[bytes]]] = deque()
        try:
            for index in self._indices:
                while not self._room.acquire(blocking=not encrypting):
                    yield self._finish(*encrypting.popleft())
                if self.stopped or self._is_cut():
                    break
                future = self._pool.encrypt(self._X[index])
                encrypting.append((index, time.monotonic(), future))
                while encrypting and encrypting[0][2].done():
                    yield self._finish(*encrypting.popleft())
            while encrypting and not self.stopped:
                yield self._finish(*encrypting.popleft())
        except BlindfitError as error:
            # gRPC would swallow it: the stream ends, and the caller raises it.
            self.failure = error

    def _is_cut(self) -> bool:
        self.cut = self._outdated()
        return self.cut

    def _finish(self, index: int, started: float, future: Future[bytes]) -> PredictCall:
        call = self._call(future.result())
        self._sent[call.request_id] = (index, started, time.monotonic())
        return call

    def answered(self, call: PredictCall) -> tuple[int, float]:
        """The row's index and when its encryption began (monotonic); makes room for another."""
        self._room.release()
        index, started, _ = self._sent.pop(call.request_id)
        return index, started

    def has_waited(self, seconds: float) -> bool:
        """Whether a row that was sent has had no answer for so long."""
        before = time.monotonic() - seconds
        return any(sent <= before for _, _, sent in list(self._sent.values()))

    def stop(self) -> None:
        """Let the sending thread end, whatever it waits for."""
        self.stopped = True
        self._room.release()
