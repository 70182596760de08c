"""One stream over the open rows of a table, with one key."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from blindfit.channel import ServerChannel
from blindfit.errors import BlindfitError, UnavailableError
from blindfit.wire_types import PredictReply
from client_app.answers import Answer, read_answers
from client_app.sender import Encryption, Sender
from client_app.traffic import Table

if TYPE_CHECKING:
    from keys.cipher import Decrypted


class Cipher(Encryption, Protocol):
    """Encrypts and decrypts with one keyset; `keys.cipher_pool.CipherPool` does."""

    def decrypt(self, ciphertext: bytes) -> Future[Decrypted]:
        """Begin to decrypt a result."""


class Attempt:
    """Sends what ``sender`` has, and decrypts the answers into ``table``."""

    def __init__(self, table: Table, pool: Cipher, sender: Sender):
        self._table = table
        self._pool = pool
        self._sender = sender
        self._decrypting: deque[tuple[int, float, Future[Decrypted]]] = deque()
        self._failure: BlindfitError | None = None

    def run(self, channel: ServerChannel, stall: float) -> None:
        """Raises the first error when the rows that were answered are decrypted."""
        try:
            with closing(read_answers(channel, self._sender, stall)) as answers:
                self._take(answers)
        finally:
            self._sender.stop()
            self._decrypt(leaving=0)
        failure = self._sender.failure or self._failure
        if failure is None and not self._sender.cut and self._table.open_rows():
            failure = UnavailableError("the server ended the stream before every row was answered")
        if failure is not None:
            raise failure

    def _take(self, answers: Iterator[Answer]) -> None:
        """A row that is unavailable waits for the next attempt; any other error ends this one."""
        traffic = self._table.traffic
        for call, reply in answers:
            index, started = self._sender.answered(call)
            traffic.sent += len(call.ciphertext)
            if isinstance(reply, PredictReply):
                traffic.received += len(reply.ciphertext)
                traffic.run_seconds += reply.run_seconds
                future = self._pool.decrypt(reply.ciphertext)
                self._decrypting.append((index, started, future))
                self._decrypt(leaving=self._pool.processes)
            else:
                self._failure = reply
                if not isinstance(reply, UnavailableError):
                    return

    def _decrypt(self, leaving: int) -> None:
        while len(self._decrypting) > leaving:
            index, started, future = self._decrypting.popleft()
            result = future.result()
            self._table.finish(index, result, time.monotonic() - started)
