"""Every estimator, the whole way: two participants, publish, predict encrypted over gRPC."""

from __future__ import annotations

import warnings
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from bench.federation import join, train
from bench.local_cipher import LocalCipher
from blindfit.bundle import fetch_bundle
from blindfit.dataset import load
from blindfit.outputs import interpret
from blindfit.preprocessing import encode
from blindfit.study import CLASSIFIERS, EstimatorName, parse_study
from demo.deployment import PASSPHRASE
from keys.connecting import connect
from keys.identity import load_identity
from keys.means import Means
from keys.rotation import create_key
from keys.sharing import share_key
from keys.unlocking import unlock_store
from server_app.publish import publish_model
from server_app.quantize import quantized_model, quantized_outputs

pytestmark = pytest.mark.slow

ROWS = 12
CLASSIFIER_TARGET = 'classes = ["a", "b", "c"]'
REGRESSOR_TARGET = "target_range = { min = 0.1, max = 60 }"


def study_text(estimator: str) -> str:
    params = {
        "SGDClassifier": 'loss = "log_loss", random_state = 0',
        "SGDRegressor": "random_state = 0",
        "TweedieRegressor": 'power = 1.5, link = "log", alpha = 0.01',
        "Lasso": "alpha = 0.01",
        "ElasticNet": "alpha = 0.01",
        "PoissonRegressor": "alpha = 0.01",
        "GammaRegressor": "alpha = 0.01",
    }.get(estimator, "")
    target = CLASSIFIER_TARGET if estimator in CLASSIFIERS else REGRESSOR_TARGET
    return f"""
        [study]
        name = "all-{estimator.lower()}"
        [model]
        estimator = "{estimator}"
        params = {{ {params} }}
        [federation]
        rounds = 2
        min_participants = 2
        [schema]
        target = "y"
        {target}
        [[schema.features]]
        name = "x{{0..5}}"
        kind = "number"
        min = -2
        max = 2
        [[schema.features]]
        name = "kind"
        kind = "category"
        categories = ["left", "right"]
    """


def table(seed: int, *, classes: bool) -> pd.DataFrame:
    """Rows whose target depends on the columns; the second participant has no class ``c``."""
    generator = np.random.default_rng(seed)
    X = generator.uniform(-2, 2, size=(120, 6))
    rows = pd.DataFrame(X, columns=[f"x{i}" for i in range(6)])
    rows["kind"] = generator.choice(["left", "right"], size=120)
    signal = X[:, 0] - X[:, 1] + (rows["kind"] == "left")
    if classes:
        names = np.array(["a", "b", "c"])[np.digitize(signal, [-0.5, 1.5])]
        rows["y"] = np.where(names == "c", "b", names) if seed == 2 else names
    else:
        rows["y"] = np.exp(signal / 2).clip(0.1, 60)
    return rows


@pytest.mark.parametrize("estimator", get_args(EstimatorName))
def test_encrypted_predictions_of_a_federated_model_are_the_quantized_ones(
    estimator, deployment, concrete, tmp_path
):
    study = parse_study(study_text(estimator))
    joined = []
    for seed in (1, 2):
        path = tmp_path / f"rows-{seed}.csv"
        table(seed, classes=estimator in CLASSIFIERS).to_csv(path, index=False)
        joined.append(join(tmp_path, study, f"owner-{seed}", load(study, path)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = train(study, joined, tmp_path / "run").model()
    published = publish_model(deployment.server, study, model)
    assert published.manifest.gate.agreed == published.manifest.gate.rows

    rows = table(3, classes=False)[:ROWS]
    X = encode(rows, study.schema_).X
    decrypted = predict_encrypted(deployment.home("client"), study.name, X)
    quantized = quantized_model(model, study.schema_.width, study.fhe.n_bits)
    expected = quantized_outputs(quantized, X).reshape(ROWS, -1)
    assert np.stack([d.quantized for d in decrypted]).tolist() == expected.tolist()

    scores = np.stack([d.scores for d in decrypted])
    values = interpret(published.manifest, scores).values
    clear = model.predict(X)
    if estimator in CLASSIFIERS:
        assert np.mean(values == clear) >= 0.9
        assert set(model.classes_) == {"a", "b", "c"}
    else:
        assert np.corrcoef(values, clear)[0, 1] > 0.99
        np.testing.assert_allclose(values, clear, rtol=0.2, atol=0.2)


def predict_encrypted(home, model, X):
    """Over gRPC with TLS, with keys made for this model, or shared where parameters are equal."""
    identity = load_identity(home)
    store = unlock_store(home, PASSPHRASE.encode, create=True)
    with connect(identity) as channel:
        bundle = fetch_bundle(channel, home, identity.publisher_key, model)
        means = Means(channel, store, bundle, cipher=LocalCipher)
        record = share_key(store, bundle) or create_key(means)
        cipher = LocalCipher(bundle.folder, store.open(record.key_id))
        results = []
        for row in X:
            ciphertext = cipher.encrypt(row).result()
            reply = channel.predict(model, 1, record.key_id, ciphertext)
            results.append(cipher.decrypt(reply.ciphertext).result())
    return results
