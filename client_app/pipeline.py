"""Encrypt, compute, decrypt as a pipeline: while the server runs one row, the next is encrypted.

Every row is sent until it has an answer: a dropped connection, a restarted worker, a silent server
or a rotated key costs a retry and no row. A row is encrypted anew for each attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from blindfit.channel import ServerChannel
from blindfit.errors import BlindfitError, RowsError, UnavailableError
from blindfit.manifest import Manifest
from blindfit.wire_types import PredictCall
from client_app.attempt import Attempt, Cipher
from client_app.sender import Sender
from client_app.traffic import Results, Table

if TYPE_CHECKING:
    from keys.keyset import Keyset

STALL_SECONDS = 360.0  # a server ends a run of a circuit itself after 300
_ATTEMPTS = 5
_BACKOFF = 0.5  # seconds, doubled with each attempt that got nowhere


class Connected(Protocol):
    """Has the channel to the server; `client_app.connection.Connection` does."""

    channel: ServerChannel


class SessionKey(Protocol):
    """Which key to encrypt with; `client_app.key_care.KeyCare` knows."""

    def outdated(self, key_id: str) -> bool:
        """Whether another key than this is to be used from now on; asked before every row."""

    def newer(self, key_id: str) -> Keyset | None:
        """The keyset to use from now on, if it is another than this one; it is wiped after use."""

    def mend(self, key_id: str, error: BlindfitError) -> None:
        """Do what makes another attempt worthwhile; raises ``error`` if there is nothing."""


class RekeyedCipher(Cipher, Protocol):
    """Encrypts and decrypts with one keyset at a time; `keys.cipher_pool.CipherPool` does."""

    key_id: str

    def rekey(self, keyset: Keyset) -> None:
        """Exchange the keyset."""


class Pipeline:
    """Predicts rows of one model version. ``stall`` seconds without an answer end an attempt."""

    def __init__(
        self,
        connection: Connected,
        manifest: Manifest,
        key: SessionKey,
        pool: RekeyedCipher,
        *,
        stall: float = STALL_SECONDS,
    ):
        self._connection = connection
        self._manifest = manifest
        self._key = key
        self._pool = pool
        self._stall = stall

    def run(
        self, X: NDArray[np.float64], on_row: Callable[[int], None] = lambda index: None
    ) -> Results:
        """Predict encoded rows ``X`` (n, width); ``on_row`` is called with each finished index.

        A key that was rotated is exchanged between two rows. Raises `BlindfitError`: at once for
        what a retry cannot repair, and after five attempts in a row without progress for what is
        unavailable.
        """
        if not len(X):
            raise RowsError("there are no rows to predict")
        table = Table(X, on_row)
        started = time.monotonic()
        attempt = 0
        mended: set[tuple[str, str]] = set()
        while rows := table.open_rows():
            self._take_newest_key()
            try:
                self._attempt(table, rows)
            except UnavailableError:
                attempt = 1 if len(table.open_rows()) < len(rows) else attempt + 1
                if attempt == _ATTEMPTS:
                    raise
                table.traffic.retries += 1
                time.sleep(_BACKOFF * 2**attempt)
            except BlindfitError as error:
                self._mend(error, mended)
        table.traffic.seconds = time.monotonic() - started
        return table.results()

    def _take_newest_key(self) -> None:
        keyset = self._key.newer(self._pool.key_id)
        if keyset is not None:
            with keyset:
                self._pool.rekey(keyset)

    def _attempt(self, table: Table, rows: list[int]) -> None:
        key_id, manifest = self._pool.key_id, self._manifest
        call = partial(PredictCall.create, manifest.model, manifest.version, key_id)
        outdated = partial(self._key.outdated, key_id)
        sender = Sender(table.X, rows, self._pool, call, outdated)
        Attempt(table, self._pool, sender).run(self._connection.channel, self._stall)

    def _mend(self, error: BlindfitError, mended: set[tuple[str, str]]) -> None:
        """Each repair once for each key: a server may go on saying the same for ever."""
        repair = (error.action, self._pool.key_id)
        if not error.action or repair in mended:
            raise error
        mended.add(repair)
        self._key.mend(self._pool.key_id, error)
