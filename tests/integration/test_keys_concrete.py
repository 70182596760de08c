"""Keysets, ciphers and rotation with real FHE: a linear model and a tree, published for real."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_keys import CHEAP, PASSPHRASE, MemoryServer, make_keyset

from blindfit.bundle import open_bundle
from blindfit.errors import (
    BundleError,
    InputError,
    KeyMismatchError,
    KeyStateError,
    ResponseMismatchError,
)
from blindfit.study import parse_study
from keys.access import SECRET_ACCESS
from keys.cipher import Cipher
from keys.generation import open_client
from keys.keyset import Keyset
from keys.means import Means
from keys.rotation import create_key, rotate
from keys.stanzas import Passphrase
from keys.states import KeyState
from keys.store import KeyStore

pytestmark = pytest.mark.slow

WIDTH = 6
STUDY = f"""
[study]
name = "corners"
[model]
estimator = "LogisticRegression"
[schema]
target = "y"
classes = [0, 1, 2]
[[schema.features]]
name = "x{{0..{WIDTH - 1}}}"
kind = "number"
min = 0
max = 1
"""


class FheServer(MemoryServer):
    """The rules of `MemoryServer` with Concrete's server behind them."""

    def __init__(self, folder: Path):
        super().__init__(circuit=None)
        from concrete.ml.deployment import FHEModelServer

        self._fhe = FHEModelServer(str(folder))
        self._evaluation_keys: dict[str, bytes] = {}

    def upload_key(self, key_id, params_id, salt, evaluation_keys, on_progress=None):
        self._evaluation_keys[key_id] = evaluation_keys
        return super().upload_key(key_id, params_id, salt, evaluation_keys, on_progress)

    def predict(self, model, version, key_id, ciphertext, *, prove=False):
        self._circuit = lambda content: self.run(content, key_id)
        return super().predict(model, version, key_id, ciphertext, prove=prove)

    def run(self, ciphertext: bytes, key_id: str) -> bytes:
        return self._fhe.run(ciphertext, self._evaluation_keys[key_id])


def new_store(folder):
    """A store with a passphrase that is cheap to try."""
    return KeyStore(folder / "keys").initialize(Passphrase(PASSPHRASE, CHEAP))


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(7).random((40, WIDTH))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    from server_app.home import create_home

    folder = tmp_path_factory.mktemp("server") / "home"
    create_home(folder, ["127.0.0.1"])
    return folder


@pytest.fixture(scope="module")
def model(rows):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(rows, np.digitize(rows.sum(axis=1), [2.6, 3.4]))


@pytest.fixture(scope="module")
def bundle(home, model):
    from server_app.authority import load_publisher_public
    from server_app.publish import publish_model

    published = publish_model(home, parse_study(STUDY), model)
    return open_bundle(published.folder, load_publisher_public(home))


@pytest.fixture(scope="module")
def keyset(bundle):
    return Keyset.generate(bundle.folder)


@pytest.fixture(scope="module")
def server(bundle, keyset):
    server = FheServer(bundle.folder)
    server.upload_key(keyset.key_id, keyset.params_id, keyset.salt, keyset.evaluation_keys)
    return server


def test_generated_keys_name_their_parameters(bundle, keyset):
    assert keyset.params_id == bundle.manifest.circuit.params_id
    assert keyset.description.model_digest == bundle.manifest.files["client.zip"].sha256


def test_two_generations_differ_in_their_secret_bytes(bundle, keyset):
    other = Keyset.generate(bundle.folder)
    assert not other.same_secret(keyset)
    assert other.key_id != keyset.key_id
    assert other.secret_bytes(SECRET_ACCESS) != keyset.secret_bytes(SECRET_ACCESS)


def test_generating_writes_no_file(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in bundle.folder.rglob("*")}
    Keyset.generate(bundle.folder)
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in bundle.folder.rglob("*")} == before


def test_a_round_trip_gives_the_quantized_model_exactly(bundle, keyset, server, model, rows):
    from server_app.quantize import quantized_model, quantized_outputs

    cipher = Cipher(bundle.folder, keyset)
    quantized = quantized_model(model, WIDTH, bundle.manifest.circuit.n_bits)
    expected = quantized_outputs(quantized, rows[:8])
    for row, integers in zip(rows[:8], expected, strict=True):
        decrypted = cipher.decrypt(server.run(cipher.encrypt(row), keyset.key_id))
        assert decrypted.quantized.dtype == np.int64
        assert decrypted.quantized.tolist() == integers.ravel().tolist()
        clear = quantized.dequantize_output(integers.reshape(1, -1)).ravel()
        np.testing.assert_array_equal(decrypted.scores, clear)
        np.testing.assert_allclose(decrypted.scores, model.decision_function([row])[0], atol=0.2)


def test_a_keyset_that_was_sealed_and_handed_on_decrypts_the_same(
    bundle, keyset, server, rows, tmp_path
):
    result = server.run(Cipher(bundle.folder, keyset).encrypt(rows[0]), keyset.key_id)
    store = new_store(tmp_path)
    store.create(keyset, model="corners")
    opened = store.open(keyset.key_id)
    handed_on = Keyset.from_parent(opened.to_child(SECRET_ACCESS))
    again = Cipher(bundle.folder, handed_on).decrypt(result)
    assert (again.quantized == Cipher(bundle.folder, keyset).decrypt(result).quantized).all()


def test_missing_keys_are_an_error_and_not_new_keys(bundle, keyset, rows, server):
    cipher = Cipher(bundle.folder, keyset)
    result = server.run(cipher.encrypt(rows[0]), keyset.key_id)
    cipher._model = open_client(bundle.folder)
    with pytest.raises(KeyStateError, match="not loaded"):
        cipher.encrypt(rows[0])
    with pytest.raises(KeyStateError, match="not loaded"):
        cipher.decrypt(result)
    assert not cipher._model.client.keys.are_generated


def test_a_keyset_of_other_parameters_is_refused(bundle):
    with pytest.raises(KeyMismatchError, match="was made for"):
        Cipher(bundle.folder, make_keyset(params_id="00" * 32))


@pytest.mark.parametrize(
    "row",
    [
        np.zeros(WIDTH + 1),
        np.zeros((1, WIDTH)),
        np.zeros(WIDTH, dtype=np.float32),
        np.full(WIDTH, np.nan),
        np.full(WIDTH, np.inf),
    ],
)
def test_rows_of_another_form_are_refused(bundle, keyset, row):
    with pytest.raises(InputError, match="finite float64"):
        Cipher(bundle.folder, keyset).encrypt(row)


def test_what_is_no_result_of_this_circuit_is_refused(bundle, keyset, server, rows):
    cipher = Cipher(bundle.folder, keyset)
    result = server.run(cipher.encrypt(rows[0]), keyset.key_id)
    for other in (b"", result[:-8], result + bytes(8), os.urandom(len(result)), bytes(len(result))):
        with pytest.raises(ResponseMismatchError):
            cipher.decrypt(other)


def test_a_rotation_with_real_keys_proves_the_new_one(bundle, tmp_path, rows):
    server = FheServer(bundle.folder)
    means = Means(server, new_store(tmp_path), bundle)
    old = create_key(means)
    cipher = Cipher(bundle.folder, means.store.open(old.key_id))
    in_flight = []

    def report(step):
        if step == "waiting until nobody uses the old key":
            reply = server.predict("corners", 1, old.key_id, cipher.encrypt(rows[0]))
            in_flight.append(reply.ciphertext)

    rotated = rotate(means, report)
    assert rotated.old.state is KeyState.DESTROY_SCHEDULED
    assert means.store.primary("corners") == rotated.new
    assert cipher.decrypt(in_flight[0]).quantized.shape == (3,)
    assert server.key_status(old.key_id).state == "REVOKED"
    assert server.key_status(rotated.new.key_id).state == "ACTIVE"


def test_a_bundle_that_was_changed_on_disk_costs_no_keys(bundle, tmp_path):
    server = FheServer(bundle.folder)
    copied = Path(shutil.copytree(bundle.folder, tmp_path / "bundle"))
    content = bytearray((copied / "client.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "client.zip").write_bytes(content)
    with pytest.raises(BundleError):
        create_key(Means(server, new_store(tmp_path), replace(bundle, folder=copied)))
    assert server.list_keys() == []


def test_a_server_that_computes_with_another_key_fails_the_proof(bundle, tmp_path, monkeypatch):
    server = FheServer(bundle.folder)
    means = Means(server, new_store(tmp_path), bundle)
    foreign = Cipher(bundle.folder, Keyset.generate(bundle.folder))
    run = server.run

    def other_row(ciphertext: bytes, key_id: str) -> bytes:
        return run(foreign.encrypt(np.zeros(WIDTH)), key_id)

    monkeypatch.setattr(server, "run", other_row)
    with pytest.raises(ResponseMismatchError, match="proof"):
        create_key(means)
    assert means.store.primary("corners") is None
    assert [status.state for status in server.list_keys()] == ["STAGED"]


def test_a_tree_has_evaluation_keys_and_its_scores_are_added_up(home, rows):
    from concrete.ml.sklearn import DecisionTreeClassifier

    from server_app.authority import load_publisher_public
    from server_app.publish import publish_estimator

    tree = DecisionTreeClassifier(n_bits=3, max_depth=2, random_state=0)
    tree.fit(rows, np.digitize(rows.sum(axis=1), [2.6, 3.4]))
    schema = parse_study(STUDY).schema_
    published = publish_estimator(home, "tree", schema, tree, n_bits=3)
    bundle = open_bundle(published.folder, load_publisher_public(home))
    keyset = Keyset.generate(bundle.folder)
    assert len(keyset.evaluation_keys) == bundle.manifest.circuit.evaluation_keys.length > 1 << 20
    server = FheServer(bundle.folder)
    server.upload_key(keyset.key_id, keyset.params_id, keyset.salt, keyset.evaluation_keys)
    cipher = Cipher(bundle.folder, keyset)
    for row in rows[:2]:
        decrypted = cipher.decrypt(server.run(cipher.encrypt(row), keyset.key_id))
        clear = tree.predict_proba(row[None, :], fhe="disable")[0]
        np.testing.assert_allclose(decrypted.scores, clear)
