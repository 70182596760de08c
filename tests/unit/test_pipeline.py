"""The pipeline against a server that misbehaves, without FHE."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

from blindfit.errors import KeyRevokedError, UnavailableError
from blindfit.wire_types import PredictReply
from client_app import pipeline as subject
from client_app.pipeline import Pipeline
from keys.cipher import Decrypted

MANIFEST = SimpleNamespace(model="m", version=1)


def done(result) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future


class Pool:
    """Encrypts a row to its bytes and back."""

    processes = 2

    def encrypt(self, row):
        return done(row.tobytes())

    def decrypt(self, ciphertext):
        values = np.frombuffer(ciphertext)
        return done(Decrypted(values.astype(np.int64), values))


class Server:
    """Answers like the real one, except for what ``misbehave(n, call)`` gives instead."""

    def __init__(self, misbehave=lambda number, call: None):
        self.streams = 0
        self._misbehave = misbehave
        self._calls = 0

    def predict_stream(self, calls):
        self.streams += 1
        for call in calls:
            self._calls += 1
            wrong = self._misbehave(self._calls, call)
            if wrong == "end":
                return
            yield call, wrong or PredictReply(call.request_id, "m", 1, "k", call.ciphertext, 0.01)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(subject, "_BACKOFF", 0.0)


def predict(server, rows=30):
    X = np.arange(rows * 2, dtype=np.float64).reshape(rows, 2)
    seen: list[int] = []
    results = Pipeline(server, MANIFEST, "k", Pool()).run(X, seen.append)
    return X, results, seen


def test_every_row_is_answered_in_order_and_counted_once():
    X, results, seen = predict(Server())
    assert results.scores.tolist() == X.tolist()
    assert sorted(seen) == list(range(30))
    assert results.traffic.sent == X.nbytes
    assert results.traffic.run_seconds == pytest.approx(0.3)


def test_rows_that_were_unavailable_are_sent_again():
    lost = UnavailableError("a worker died")
    server = Server(lambda number, call: lost if number in (3, 17) else None)
    X, results, seen = predict(server)
    assert results.scores.tolist() == X.tolist()
    assert sorted(seen) == list(range(30))
    assert results.traffic.retries == 1


def test_a_stream_that_ends_early_is_taken_up_again():
    server = Server(lambda number, call: "end" if number == 10 else None)
    X, results, _ = predict(server)
    assert results.scores.tolist() == X.tolist()
    assert server.streams == 2


def test_a_server_that_never_answers_is_given_up():
    server = Server(lambda number, call: "end")
    with pytest.raises(UnavailableError, match="before every row was answered"):
        predict(server)
    assert server.streams == 5


def test_what_a_retry_cannot_repair_is_raised_at_once():
    server = Server(lambda number, call: KeyRevokedError("revoked") if number == 5 else None)
    with pytest.raises(KeyRevokedError):
        predict(server)
    assert server.streams == 1
