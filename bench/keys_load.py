"""Rotation under load: clients predict without a pause while their keys are rotated.

Each client is a `Session` with a process of its own that encrypts; all share one home and so one
key. Every result is compared with what the quantized model gives in clear: a prediction with the
wrong key would raise nothing and be wrong.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bench.local_cipher import LocalCipher
from blindfit.bundle import fetch_bundle
from blindfit.console import say
from blindfit.errors import BlindfitError
from blindfit.fhe_runtime import load_concrete
from blindfit.schema import Schema
from client_app.session import Session
from demo.deployment import PASSPHRASE, Deployment
from keys.connecting import connect
from keys.identity import load_identity
from keys.means import Means
from keys.rotation import create_key, rotate
from keys.unlocking import unlock_store
from server_app.publish import publish_estimator
from server_app.quantize import quantized_model, quantized_outputs

_MODEL = "loaded"
_WIDTH = 10
_N_BITS = 8
_ROWS = 40  # in a table: keys are exchanged in the middle of many
_PATIENCE = 120.0  # seconds for every client to predict with a new key


class Load(NamedTuple):
    """What happened: rotations, predicted rows, and how many of those failed or were wrong."""

    rotations: int
    predictions: int
    failed: int
    wrong: int


@dataclass
class _Client:
    """One client and what it has seen."""

    session: Session
    predictions: int = 0
    failed: int = 0
    wrong: int = 0
    keys: set[str] = field(default_factory=set)  # that a whole table ended with

    def predict(self, X: NDArray[np.float64], known: NDArray[np.int64]) -> None:
        """One table."""
        self.predictions += len(X)
        try:
            results = self.session.predict_encoded(X)
        except BlindfitError as error:
            say(f"a table failed: {error}")
            self.failed += len(X)
            return
        self.wrong += int((results.quantized != known).any(axis=1).sum())
        self.keys.add(self.session.key_id)


def rotate_under_load(work: Path, *, rotations: int = 10, clients: int = 4) -> Load:
    """Rotate a home's keys while its clients predict; ``work`` is an empty folder.

    Every client has predicted with a key before that is replaced by the next.
    """
    load_concrete()
    with Deployment(work / "deployment", workers=2) as deployment, ExitStack() as stack:
        model = _fitted()
        publish_estimator(deployment.server, _MODEL, _schema(), model, n_bits=_N_BITS)
        home = deployment.enroll("client")
        means = stack.enter_context(_means(home))
        create_key(means)
        running = _open_clients(home, clients, stack)
        X = np.random.default_rng(0).random((_ROWS, _WIDTH))
        outputs = quantized_outputs(quantized_model(model, _WIDTH, _N_BITS), X)
        with _predicting(running, X, outputs.reshape(_ROWS, -1)):
            _wait_for_all(running, _primary(means))
            for _ in range(rotations):
                rotate(means)
                _wait_for_all(running, _primary(means))
    return Load(
        rotations,
        sum(client.predictions for client in running),
        sum(client.failed for client in running),
        sum(client.wrong for client in running),
    )


def _fitted() -> Any:
    generator = np.random.default_rng(1)
    X = generator.random((300, _WIDTH))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # any coefficients do
        return LogisticRegression().fit(X, np.digitize(X.sum(axis=1), [4.6, 5.4]))


def _schema() -> Schema:
    features = [{"name": f"x{{0..{_WIDTH - 1}}}", "kind": "number", "min": 0, "max": 1}]
    return Schema.model_validate({"target": "y", "classes": [0, 1, 2], "features": features})


@contextmanager
def _means(home: Path) -> Iterator[Means]:
    identity = load_identity(home)
    with connect(identity) as channel:
        bundle = fetch_bundle(channel, home, identity.publisher_key, _MODEL)
        store = unlock_store(home, PASSPHRASE.encode, create=True)
        yield Means(channel, store, bundle, cipher=LocalCipher)


def _open_clients(home: Path, count: int, stack: ExitStack) -> list[_Client]:
    def open_one(_: int) -> Session:
        return Session.open(home, _MODEL, PASSPHRASE.encode, processes=1)

    with ThreadPoolExecutor(count) as starting:
        sessions = [
            stack.enter_context(session) for session in starting.map(open_one, range(count))
        ]
    return [_Client(session) for session in sessions]


@contextmanager
def _predicting(
    clients: list[_Client], X: NDArray[np.float64], known: NDArray[np.int64]
) -> Iterator[None]:
    stop = threading.Event()

    def work(client: _Client) -> None:
        while not stop.is_set():
            client.predict(X, known)

    with ThreadPoolExecutor(len(clients)) as threads:
        working = [threads.submit(work, client) for client in clients]
        try:
            yield
        finally:
            stop.set()
        for future in working:
            future.result()


def _primary(means: Means) -> str:
    primary = means.store.primary(_MODEL)
    if primary is None:
        raise RuntimeError("there is no primary key")
    return primary.key_id


def _wait_for_all(clients: list[_Client], key_id: str) -> None:
    _wait(lambda: all(key_id in client.keys for client in clients))


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not every client took the new key in {_PATIENCE:.0f} seconds")
        time.sleep(0.02)
