"""One session and its keys: rotated, lost by the server, revoked, missing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from bench.local_cipher import LocalCipher
from blindfit.bundle import fetch_bundle
from blindfit.errors import KeyMismatchError, KeyRevokedError, KeyStateError
from blindfit.schema import Schema
from client_app.key_care import current_key
from client_app.key_creation import unlock_for
from client_app.session import Session
from demo.deployment import PASSPHRASE
from demo.programs import ask, command, environment
from keys.cipher import Cipher
from keys.connecting import connect
from keys.identity import load_identity
from keys.means import Means
from keys.rotation import create_key, rotate
from keys.store import KeyStore
from keys.unlocking import unlock_store
from server_app.publish import publish_estimator

pytestmark = pytest.mark.slow

MODEL = "kept"
X = np.random.default_rng(5).random((12, 4))


def schema(width: int) -> Schema:
    features = [{"name": f"x{{0..{width - 1}}}", "kind": "number", "min": 0, "max": 1}]
    return Schema.model_validate(
        {"target": "t", "target_range": {"min": -9, "max": 9}, "features": features}
    )


def publish(deployment, width: int = 4) -> None:
    rows = np.random.default_rng(width).random((50, width))
    model = Ridge().fit(rows, rows @ np.arange(1, width + 1))
    publish_estimator(deployment.server, MODEL, schema(width), model)


@pytest.fixture(scope="module")
def home(deployment, concrete) -> Path:
    publish(deployment)
    home = deployment.enroll("keeper")
    with means(home) as creating:
        create_key(creating)
    return home


@contextmanager
def means(home: Path, version: int | None = None):
    """What creates and rotates the home's keys in this process, where Concrete is loaded."""
    identity = load_identity(home)
    with connect(identity) as channel:
        bundle = fetch_bundle(channel, home, identity.publisher_key, MODEL, version)
        store = unlock_store(home, PASSPHRASE.encode, create=True)
        yield Means(channel, store, bundle, cipher=LocalCipher)


@pytest.fixture(scope="module")
def session(home):
    with Session.open(home, MODEL, PASSPHRASE.encode, version=1, processes=2) as session:
        yield session


@pytest.fixture(scope="module")
def known(session) -> list[list[int]]:
    return session.predict_encoded(X).quantized.tolist()


def rotated(home: Path) -> str:
    with means(home, version=1) as rotating:
        return rotate(rotating).new.key_id


def test_the_same_processes_take_a_rotated_key(session, known, home):
    old, host = session.key_id, session._pool._host.pid
    new = rotated(home)
    assert session.key_id == old  # it looks when it predicts
    assert session.predict_encoded(X).quantized.tolist() == known
    assert session.key_id == new != old
    assert session._pool._host.pid == host


def test_a_key_is_taken_in_the_middle_of_a_table(session, known, home):
    old = session.key_id
    news: list[str] = []

    def rotate_once(index: int) -> None:
        if not news:
            with means(home, version=1) as rotating:
                # The session holds the old key until this returns: there is nothing to wait for.
                news.append(rotate(rotating, grace=timedelta(0)).new.key_id)

    many = np.tile(X, (5, 1))
    results = session.predict_encoded(many, rotate_once)
    assert results.quantized.tolist() == known * 5
    assert session.key_id == news[0] != old


def test_a_key_that_the_server_lost_is_uploaded_again(session, known, deployment):
    session.predict_encoded(X)
    with sqlite3.connect(deployment.server / "server.db") as database:
        lost = database.execute(
            "delete from evaluation_keys where tenant = 'keeper' and key_id = ?", (session.key_id,)
        )
        assert lost.rowcount == 1
    database.close()
    assert session.predict_encoded(X).quantized.tolist() == known
    held = ask("blindfit-server", "keys", "list", "--home", deployment.server)["keys"]
    states = {key["key_id"]: key["state"] for key in held}
    assert states[session.key_id] == "ACTIVE"


def test_a_revoked_key_is_an_error_until_it_is_rotated(session, known, deployment, home):
    session.predict_encoded(X)
    ask("blindfit-server", "keys", "revoke", "keeper", session.key_id, "--home", deployment.server)
    with pytest.raises(KeyRevokedError) as refused:
        session.predict_encoded(X)
    assert refused.value.hint == f"run `blindfit-keys rotate --model {MODEL}` for a new one"
    new = rotated(home)
    assert session.predict_encoded(X).quantized.tolist() == known
    assert session.key_id == new


def test_a_rotated_identity_is_taken_by_an_open_session(session, known, home):
    session.predict_encoded(X)
    before = load_identity(home).certificate_pem
    ask("blindfit-keys", "rotate", "--identity", "--home", home)
    assert load_identity(home).certificate_pem != before
    # The server refuses the old certificate from now on.
    assert session.predict_encoded(X).quantized.tolist() == known


def test_a_request_for_another_key_is_refused_by_the_processes(session, known):
    """Nothing else would notice: a wrong key decrypts to a wrong answer."""
    session.predict_encoded(X)
    right = session._pool.key_id
    session._pool.key_id = "00" * 32
    try:
        with pytest.raises(KeyMismatchError, match="was exchanged for"):
            session._pool.encrypt(X[0]).result()
        with pytest.raises(KeyMismatchError, match="was exchanged for"):
            session._pool.decrypt(b"").result()
    finally:
        session._pool.key_id = right
    assert session.predict_encoded(X).quantized.tolist() == known


def test_new_versions_need_new_keys_only_for_other_parameters(session, known, deployment, home):
    publish(deployment)
    publish(deployment, width=7)
    store = KeyStore(home / "keys")
    with means(home, version=2) as same:
        assert same.params_id == session.manifest.circuit.params_id
        key = current_key(store, same.bundle.manifest)
        assert key.key_id == store.primary(MODEL).key_id
        cipher = Cipher(same.bundle.folder, same.store.open(key.key_id))
        reply = same.server.predict(MODEL, 2, key.key_id, cipher.encrypt(X[0]))
        assert cipher.decrypt(reply.ciphertext).quantized.tolist() == known[0]
    with means(home, version=3) as other:
        if other.params_id == session.manifest.circuit.params_id:
            pytest.skip("the compiler chose the same parameters for seven features")
        asked: list[str] = []
        with pytest.raises(KeyMismatchError):
            unlock_for(home, other.server, other.bundle, PASSPHRASE.encode, agree=asked.append)
        assert asked == [f"version 3 of {MODEL} needs other keys than there are"]


def test_predict_creates_missing_keys_only_when_it_is_told_to(deployment, home, tmp_path):
    newcomer = deployment.enroll("beginner")
    pd.DataFrame(X, columns=[f"x{i}" for i in range(4)]).to_csv(tmp_path / "rows.csv", index=False)
    arguments = command(
        "blindfit-client", "predict", MODEL, tmp_path / "rows.csv", "--version", "1",
        "--home", newcomer, "--passphrase-file", deployment.passphrase_file, "--json",
    )  # fmt: skip

    def run(*options: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*arguments, *options], capture_output=True, text=True, check=False, env=environment()
        )

    refused = run()
    assert refused.returncode == KeyStateError.exit_code
    assert json.loads(refused.stdout)["error"]["message"] == f"there are no keys for {MODEL}"
    assert f"blindfit-keys create --model {MODEL}" in refused.stderr
    assert not (newcomer / "keys").exists()
    done = run("--create-keys")
    assert done.returncode == 0, done.stderr
    assert "ALL KEYS ARE LOST" in done.stderr
    assert json.loads(done.stdout)["rows"] == len(X)
    assert KeyStore(newcomer / "keys").primary(MODEL).key_id == json.loads(done.stdout)["key_id"]
