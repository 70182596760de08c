"""The pipeline against a server that misbehaves and keys that rotate, without FHE."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest

from blindfit.errors import (
    CiphertextError,
    KeyNotUploadedError,
    KeyRevokedError,
    UnavailableError,
)
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
    """Encrypts a row to its key's name and bytes; decrypts only what was made for its key."""

    processes = 2

    def __init__(self):
        self.key_id = "k1"

    def encrypt(self, row):
        return done(self.key_id.encode() + row.tobytes())

    def decrypt(self, ciphertext):
        assert ciphertext[:2] == self.key_id.encode()
        values = np.frombuffer(ciphertext[2:])
        return done(Decrypted(values.astype(np.int64), values))

    def rekey(self, keyset):
        assert keyset.key_id != self.key_id
        self.key_id = keyset.key_id


class Keyset(SimpleNamespace):
    """A keyset by name, which counts how often it was wiped."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.wiped = True


class Key:
    """The key of the session: ``current`` is what the store has."""

    def __init__(self):
        self.current = "k1"
        self.taken: list[str] = []
        self.opened: list[Keyset] = []
        self.refused: list[tuple[str, str]] = []
        self.on_mend = lambda: None

    def outdated(self, key_id):
        return key_id != self.current

    def newer(self, key_id):
        self.taken.append(self.current)
        if self.current == key_id:
            return None
        self.opened.append(Keyset(key_id=self.current, wiped=False))
        return self.opened[-1]

    def mend(self, key_id, error):
        self.refused.append((key_id, error.reason))
        self.on_mend()


class Server:
    """Answers like the real one, except for what ``misbehave(n, call)`` gives instead."""

    def __init__(self, misbehave=lambda number, call: None):
        self.streams = 0
        self.rows: list[tuple[str, bytes]] = []
        self._misbehave = misbehave
        self._calls = 0

    def predict_stream(self, calls):
        self.streams += 1
        for call in calls:
            self._calls += 1
            assert call.ciphertext[:2] == call.key_id.encode()
            wrong = self._misbehave(self._calls, call)
            if wrong == "end":
                return
            if wrong is None:
                self.rows.append((call.key_id, call.ciphertext[2:]))
            yield (
                call,
                wrong or PredictReply(call.request_id, "m", 1, call.key_id, call.ciphertext, 0.01),
            )


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(subject, "_BACKOFF", 0.0)


@pytest.fixture
def key() -> Key:
    return Key()


def predict(server, key, rows=30, on_row=lambda index: None, **options):
    X = np.arange(rows * 2, dtype=np.float64).reshape(rows, 2)
    seen: list[int] = []

    def finished(index: int) -> None:
        seen.append(index)
        on_row(index)

    results = Pipeline(SimpleNamespace(channel=server), MANIFEST, key, Pool(), **options).run(
        X, finished
    )
    return X, results, seen


def test_every_row_is_answered_in_order_and_counted_once(key):
    X, results, seen = predict(Server(), key)
    assert results.scores.tolist() == X.tolist()
    assert sorted(seen) == list(range(30))
    assert results.traffic.sent == X.nbytes + 30 * len("k1")
    assert results.traffic.run_seconds == pytest.approx(0.3)
    assert key.taken == ["k1"]


def test_rows_that_were_unavailable_are_sent_again(key):
    lost = UnavailableError("a worker died")
    server = Server(lambda number, call: lost if number in (3, 17) else None)
    X, results, seen = predict(server, key)
    assert results.scores.tolist() == X.tolist()
    assert sorted(seen) == list(range(30))
    assert results.traffic.retries == 1


def test_a_stream_that_ends_early_is_taken_up_again(key):
    server = Server(lambda number, call: "end" if number == 10 else None)
    X, results, _ = predict(server, key)
    assert results.scores.tolist() == X.tolist()
    assert server.streams == 2


def test_a_server_that_never_answers_is_given_up(key):
    server = Server(lambda number, call: "end")
    with pytest.raises(UnavailableError, match="before every row was answered"):
        predict(server, key)
    assert server.streams == 5


def test_what_a_retry_cannot_repair_is_raised_at_once(key):
    server = Server(lambda number, call: CiphertextError("no") if number == 5 else None)
    with pytest.raises(CiphertextError):
        predict(server, key)
    assert server.streams == 1
    assert key.refused == []


def test_a_rotated_key_is_taken_between_two_rows_of_a_table(key):
    def rotate(index: int) -> None:
        key.current = {5: "k2", 20: "k3"}.get(index, key.current)

    server = Server()
    X, results, seen = predict(server, key, rows=60, on_row=rotate)
    assert results.scores.tolist() == X.tolist()
    assert sorted(seen) == list(range(60))
    assert len(server.rows) == 60  # no row was computed twice
    assert {key_id for key_id, _ in server.rows} == {"k1", "k2", "k3"}
    assert [keyset.wiped for keyset in key.opened] == [True, True]
    assert results.traffic.retries == 0


def test_a_revoked_key_costs_no_row_and_none_twice(key):
    """What was answered before the refusal stays; the rest goes out with the new key."""

    def refuse(number: int, call):
        return KeyRevokedError("revoked") if number > 7 and call.key_id == "k1" else None

    key.on_mend = lambda: setattr(key, "current", "k2")
    server = Server(refuse)
    X, results, seen = predict(server, key)
    assert results.scores.tolist() == X.tolist()
    assert sorted(seen) == list(range(30))
    assert [key_id for key_id, _ in server.rows] == ["k1"] * 7 + ["k2"] * 23
    assert len({row for _, row in server.rows}) == 30
    assert key.refused == [("k1", "KEY_REVOKED")]


def test_a_server_that_refuses_for_ever_is_believed_once(key):
    server = Server(lambda number, call: KeyNotUploadedError("unknown"))
    with pytest.raises(KeyNotUploadedError):
        predict(server, key)
    assert key.refused == [("k1", "KEY_UNKNOWN")]
    assert server.streams == 2


def test_what_cannot_be_mended_is_raised(key):
    def mend() -> None:
        raise KeyRevokedError("revoked", hint="rotate")

    key.on_mend = mend
    server = Server(lambda number, call: KeyRevokedError("revoked"))
    with pytest.raises(KeyRevokedError) as refused:
        predict(server, key)
    assert refused.value.hint == "rotate"
    assert server.streams == 1


def test_a_key_that_is_gone_in_the_middle_of_a_table_is_an_error(key):
    def outdated(key_id: str) -> bool:
        if server.rows:
            raise KeyRevokedError("there is no key any more")
        return False

    key.outdated = outdated
    server = Server()
    key.on_mend = lambda: (_ for _ in ()).throw(KeyRevokedError("nothing to take"))
    with pytest.raises(KeyRevokedError, match="nothing to take"):
        predict(server, key)


class SilentServer(Server):
    """Takes rows and answers none from the ``silent_from``-th on, until ``speak`` is set."""

    def __init__(self, silent_from: int, silent_streams: int):
        super().__init__()
        self.speak = threading.Event()
        self._silent_from = silent_from
        self._silent_streams = silent_streams

    def predict_stream(self, calls):
        silent = self.streams < self._silent_streams
        for number, answer in enumerate(super().predict_stream(calls), start=1):
            if silent and number >= self._silent_from:
                self.speak.wait(60)
            yield answer


def test_a_silent_server_is_asked_again(key):
    server = SilentServer(silent_from=4, silent_streams=1)
    try:
        X, results, seen = predict(server, key, rows=10, stall=0.2)
    finally:
        server.speak.set()
    assert results.scores.tolist() == X.tolist()
    assert sorted(seen) == list(range(10))
    assert server.streams == 2
    assert results.traffic.retries == 1


def test_a_server_that_stays_silent_is_given_up(key):
    server = SilentServer(silent_from=1, silent_streams=99)
    try:
        with pytest.raises(UnavailableError, match=r"no answer in 0\.1 seconds"):
            predict(server, key, rows=3, stall=0.1)
    finally:
        server.speak.set()
    assert server.streams == 5


def test_a_slow_encryption_is_not_the_servers_silence(key, monkeypatch):
    """No row is under way while the first one is being encrypted."""
    ready: Future = Future()
    row = np.arange(2, dtype=np.float64)
    monkeypatch.setattr(Pool, "encrypt", lambda self, row: ready)
    timer = threading.Timer(0.4, lambda: ready.set_result(b"k1" + row.tobytes()))
    timer.start()
    _, results, _ = predict(Server(), key, rows=1, stall=0.1)
    timer.join()
    assert results.traffic.retries == 0
