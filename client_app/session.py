"""A session with one served model: private rows in, predictions out; no user interface.

The bundle is audited and the keyset opened once; then any number of tables can be predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blindfit.bundle import Bundle, fetch_bundle
from blindfit.channel import ServerChannel
from blindfit.errors import KeyMismatchError, KeyStateError
from blindfit.preprocessing import OutOfBounds, encode
from client_app.outputs import Predictions, interpret
from client_app.pipeline import Pipeline, Results, Traffic
from keys.cipher_pool import CipherPool
from keys.identity import Identity, load_identity
from keys.keyset import Keyset
from keys.store import KeyStore

Report = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """Predictions of a table, the whole numbers behind them (n, outputs), and what it cost."""

    predictions: Predictions
    quantized: NDArray[np.int64]
    traffic: Traffic
    warning: str


def connect(identity: Identity, address: str | None = None) -> ServerChannel:
    """A channel to the server that this home is enrolled with (or its other ``address``)."""
    return ServerChannel.connect(
        address or identity.address, identity.ca_pem, identity.certificate_pem, identity.key_pem
    )


class Session:
    """An open model version: its bundle, the keyset that fits it, and processes to encrypt in."""

    def __init__(self, channel: ServerChannel, bundle: Bundle, keyset: Keyset):
        self._channel = channel
        self.manifest = bundle.manifest
        self.key_id = keyset.key_id
        self._pool = CipherPool(bundle.folder, keyset)
        self._pipeline = Pipeline(channel, bundle.manifest, keyset.key_id, self._pool)

    @classmethod
    def open(
        cls,
        home: Path,
        model: str,
        passphrase: Callable[[], bytes],
        *,
        version: int | None = None,
        address: str | None = None,
        report: Report = lambda step: None,
    ) -> Session:
        """Verify the bundle, open the keyset, start the processes (about ten seconds).

        ``passphrase`` is asked for only when there is a keyset to open. Raises `BlindfitError`.
        """
        identity = load_identity(home)
        channel = connect(identity, address)
        try:
            report("verifying the bundle")
            bundle = fetch_bundle(channel, home, identity.publisher_key, model, version)
            keyset = open_keyset(home, bundle, passphrase)
            report("starting FHE")
            return cls(channel, bundle, keyset)
        except BaseException:
            channel.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes and the connection; the opened keys are gone with them."""
        self._pool.close()
        self._channel.close()

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
        """Decrypted results of encoded rows (n, width)."""
        return self._pipeline.run(X, on_row)


def open_keyset(home: Path, bundle: Bundle, passphrase: Callable[[], bytes]) -> Keyset:
    """The primary keyset for the bundle's model; raises `KeyStateError` where there is none."""
    manifest = bundle.manifest
    store = KeyStore(home / "keys")
    primary = store.primary(manifest.model)
    create = f"run `blindfit-keys create --model {manifest.model}`"
    if primary is None:
        raise KeyStateError(f"there are no keys for {manifest.model}", hint=create)
    if primary.params_id != manifest.circuit.params_id:
        # Another version of the model may have been given keys for its own parameters.
        primary = store.active(manifest.circuit.params_id)
    if primary is None:
        raise KeyMismatchError(
            f"version {manifest.version} of {manifest.model} needs other keys than these",
            hint=create,
        )
    return store.open(primary.key_id, passphrase())
