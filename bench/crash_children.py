"""What the forks of the crash matrix do: each opens the home and the connection anew.

A home's ``earlier.json`` holds results that were computed for its keys: what they decrypt to is
known from the bundle's probes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.kill_points import KillPoints, die
from bench.local_cipher import LocalCipher
from blindfit.bundle import fetch_bundle
from blindfit.files import write_atomic
from keys.cipher import Cipher
from keys.connecting import connect
from keys.identity import load_identity
from keys.journals import Journals
from keys.means import Means
from keys.rotation import create_key, resume, rotate
from keys.stanzas import Argon2Cost, Passphrase
from keys.states import KeyState
from keys.store import KeyStore

MODEL = "small"
_WIDTH = 4
_LOCK = Passphrase(b"correct horse", Argon2Cost(memory_kib=8 * 1024, passes=1, lanes=1))
_EARLIER = "earlier.json"


def publish(server: Path) -> None:
    """A linear model, small enough to be run hundreds of times."""
    from sklearn.linear_model import LogisticRegression

    from blindfit.schema import Schema
    from server_app.publish import publish_estimator

    feature = {"name": f"x{{0..{_WIDTH - 1}}}", "kind": "number", "min": 0, "max": 1}
    schema = {"target": "y", "classes": [0, 1], "features": [feature]}
    X = np.random.default_rng(0).random((100, _WIDTH))
    model = LogisticRegression().fit(X, (X[:, 0] > X[:, 1]).astype(int))
    publish_estimator(server, MODEL, Schema.model_validate(schema), model)


def begin_home(home: Path) -> None:
    """A first key, and a result that was computed for it."""
    KeyStore.of(home).initialize(_LOCK)
    with _opened(home) as means:
        create_key(means)
        _remember_result(home, means)


def rotate_until(home: Path, point: int) -> None:
    """Rotate, and die at that point of it, if it has so many."""
    points = KillPoints(home / "keys", point)
    with _opened(home) as means:
        dying = Means(
            _DyingServer(means.server, points),  # type: ignore[arg-type]
            means.store,
            means.bundle,
            cipher=LocalCipher,
        )
        points.install()
        rotate(dying)


def predict_now(home: Path) -> None:
    """Raises unless a client that knows nothing of the dead rotation can predict meanwhile."""
    with _opened(home) as means:
        _predict(means)


def finish(home: Path) -> None:
    """Resume what was stopped; if nothing had begun, a new rotation has to work."""
    with _opened(home) as means:
        stopped = Journals(means.store).all()
        for journal in stopped:
            resume(means, journal)
        if not stopped:
            rotate(means)


def check_home(home: Path) -> None:
    """Raises if anything was lost or is inconsistent; then computes one more result."""
    with _opened(home) as means:
        _require_no_leftovers(home, means)
        _require_readable(home, means)
        _require_consistent(home, means)
        _remember_result(home, means)


class _DyingServer:
    """A server's channel; each answer that arrived is a point to die at."""

    def __init__(self, channel: Any, points: KillPoints):
        self._channel = channel
        self._points = points

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._channel, name)

        def call(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            if self._points.reach():
                die()
            return result

        return call


@contextmanager
def _opened(home: Path) -> Iterator[Means]:
    identity = load_identity(home)
    with connect(identity) as channel:
        bundle = fetch_bundle(channel, home, identity.publisher_key, MODEL)
        store = KeyStore.of(home).unlock(_LOCK)
        yield Means(channel, store, bundle, cipher=LocalCipher)


def _remember_result(home: Path, means: Means) -> None:
    earlier = [*_earlier(home), _predict(means)]
    write_atomic(home / _EARLIER, json.dumps(earlier).encode())


def _predict(means: Means) -> list[str]:
    """A key_id and a result for it, in hex, after it was seen to be right."""
    primary = means.store.primary(MODEL)
    if primary is None:
        raise RuntimeError("there is no primary")
    manifest = means.bundle.manifest
    cipher = Cipher(means.bundle.folder, means.store.open(primary.key_id))
    row = cipher.encrypt(np.ones(_WIDTH))
    reply = means.server.predict(MODEL, manifest.version, primary.key_id, row)
    decrypted = cipher.decrypt(reply.ciphertext).quantized.tolist()
    if decrypted != list(manifest.probes.upper):
        raise RuntimeError(f"the prediction is {decrypted}")
    return [primary.key_id, reply.ciphertext.hex()]


def _earlier(home: Path) -> list[list[str]]:
    path = home / _EARLIER
    return json.loads(path.read_bytes()) if path.exists() else []


def _require_no_leftovers(home: Path, means: Means) -> None:
    if Journals(means.store).all():
        raise RuntimeError("a journal was left")
    left = [str(path) for path in (home / "keys").rglob("*.tmp")]
    if left:
        raise RuntimeError(f"temporary files were left: {left}")
    means.store.history()


def _require_readable(home: Path, means: Means) -> None:
    """Every keyset opens, and every earlier result gives what it must."""
    keysets = {
        record.key_id: means.store.open(record.key_id)
        for record in means.store.records()
        if record.state is not KeyState.DESTROYED
    }
    expected = list(means.bundle.manifest.probes.upper)
    for key_id, ciphertext in _earlier(home):
        if key_id not in keysets:
            raise RuntimeError(f"key {key_id} was lost")
        cipher = Cipher(means.bundle.folder, keysets[key_id])
        decrypted = cipher.decrypt(bytes.fromhex(ciphertext)).quantized.tolist()
        if decrypted != expected:
            raise RuntimeError(f"a result of key {key_id} became {decrypted}")


def _require_consistent(home: Path, means: Means) -> None:
    """One active key, the same on both sides; those before it are refused by the server."""
    here = {record.key_id: record.state for record in means.store.records()}
    active = [key_id for key_id, state in here.items() if state is KeyState.ACTIVE]
    there = {key.key_id: key.state for key in means.server.list_keys()}
    kept = [key_id for key_id, state in there.items() if state not in {"REVOKED", "DELETED"}]
    if not active == kept == list(means.store.primaries().values()):
        raise RuntimeError(f"here {here}, on the server {there}")
    if there[active[0]] != "ACTIVE":
        raise RuntimeError(f"the primary is {there[active[0]]} on the server")
    before = {key_id for key_id, _ in _earlier(home)}
    if active[0] in before or KeyState.PRE_ACTIVE in here.values():
        raise RuntimeError(f"the rotation did not end: {here}")


__all__ = ["MODEL", "begin_home", "check_home", "finish", "predict_now", "publish", "rotate_until"]
