"""A session with one served model: private rows in, predictions out; no user interface.

The bundle is audited and the key store opened once; then any number of tables can be predicted,
also while the keys are rotated: the session takes the new ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blindfit.bundle import Bundle, fetch_bundle
from blindfit.outputs import Predictions, interpret
from blindfit.preprocessing import OutOfBounds, encode
from client_app.connection import Connection
from client_app.key_care import KeyCare
from client_app.key_creation import Agree, Report, never, unlock_for
from client_app.pipeline import STALL_SECONDS, Pipeline
from client_app.traffic import Results, Traffic
from keys.cipher_pool import CipherPool
from keys.private import disable_core_dumps
from keys.unlocked_store import UnlockedStore


@dataclass(frozen=True)
class Answer:
    """Predictions of a table, the whole numbers behind them (n, outputs), and what it cost."""

    predictions: Predictions
    quantized: NDArray[np.int64]
    traffic: Traffic
    warning: str


class Session:
    """An open model version: its bundle, the key that fits it, and processes to encrypt in.

    ``processes`` is how many (None: one for each core), ``stall`` after how many seconds without
    an answer rows are sent again (None: `STALL_SECONDS`). The store stays open, for the keys that
    a rotation will bring.
    """

    def __init__(
        self,
        connection: Connection,
        bundle: Bundle,
        store: UnlockedStore,
        *,
        processes: int | None = None,
        stall: float | None = None,
    ):
        self.manifest = bundle.manifest
        self._connection = connection
        self._care = KeyCare(store, connection, bundle.manifest)
        with self._care.open() as keyset:
            self._pool = CipherPool(bundle.folder, keyset, processes)
        self._pipeline = Pipeline(
            connection,
            bundle.manifest,
            self._care,
            self._pool,
            stall=STALL_SECONDS if stall is None else stall,
        )
        self._predicting = threading.Lock()

    @classmethod
    def open(
        cls,
        home: Path,
        model: str,
        passphrase: Callable[[], bytes],
        *,
        version: int | None = None,
        address: str | None = None,
        processes: int | None = None,
        stall: float | None = None,
        agree: Agree = never,
        report: Report = lambda step: None,
    ) -> Session:
        """Verify the bundle, open the key store, start the processes (about ten seconds).

        ``passphrase`` is asked for only when it is what locks the store and there is a key to open;
        ``agree`` whether keys that are missing may be created. Raises `BlindfitError`.
        """
        disable_core_dumps()
        connection = Connection(home, address)
        try:
            report("verifying the bundle")
            channel, publisher_key = connection.channel, connection.publisher_key
            bundle = fetch_bundle(channel, home, publisher_key, model, version)
            store = unlock_for(home, channel, bundle, passphrase, agree=agree, report=report)
            report("starting FHE")
            return cls(connection, bundle, store, processes=processes, stall=stall)
        except BaseException:
            connection.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    @property
    def key_id(self) -> str:
        """The key that the last rows were encrypted for, and the next ones unless it is rotated."""
        return self._pool.key_id

    def close(self) -> None:
        """End the processes and the connection; the opened keys are gone with them."""
        self._pool.close()
        self._connection.close()

    def predict(
        self,
        rows: pd.DataFrame,
        *,
        out_of_bounds: OutOfBounds = "error",
        on_row: Callable[[int], None] = lambda index: None,
    ) -> Answer:
        """Predict a table with the schema's columns; raises `RowsError` before anything is sent."""
        encoded = encode(rows, self.manifest.schema_, out_of_bounds=out_of_bounds)
        results = self.predict_encoded(encoded.X, on_row)
        predictions = interpret(self.manifest, results.scores)
        return Answer(predictions, results.quantized, results.traffic, encoded.warning())

    def predict_encoded(
        self, X: NDArray[np.float64], on_row: Callable[[int], None] = lambda index: None
    ) -> Results:
        """Decrypted results of encoded rows (n, width); one table at a time."""
        with self._predicting:
            try:
                return self._pipeline.run(X, on_row)
            finally:
                self._care.release()


__all__ = ["Answer", "Session"]
