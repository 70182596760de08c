"""No row inside the schema's bounds can overflow a circuit, by real encrypted execution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from blindfit.errors import PublishError
from blindfit.preprocessing import encode
from blindfit.schema import Schema
from server_app.calibration import calibration_rows
from server_app.compile import compile_model
from server_app.quantize import quantized_outputs

pytestmark = pytest.mark.slow


@st.composite
def schemas(draw):
    """Number columns with random bounds, and a category."""
    bounds = st.tuples(st.floats(-1e3, 1e3), st.floats(0.1, 1e3))
    features = []
    for index in range(draw(st.integers(1, 40))):
        low, span = draw(bounds)
        features.append({"name": f"n{index}", "kind": "number", "min": low, "max": low + span})
    categories = draw(st.integers(2, 4))
    features.append(
        {"name": "c", "kind": "category", "categories": [f"k{i}" for i in range(categories)]}
    )
    return Schema.model_validate({"target": "y", "classes": [0, 1], "features": features})


def linear_model(width: int, outputs: int, seed: int):
    """A fitted-looking linear model with coefficients of very different sizes and signs."""
    generator = np.random.default_rng(seed)
    scale = 10.0 ** generator.uniform(-2, 2, size=(outputs, 1))
    skew = generator.uniform(-1, 1)
    coefficients = (generator.normal(size=(outputs, width)) + skew) * scale
    if outputs == 1:
        model = LinearRegression()
        model.coef_, model.intercept_ = coefficients[0], float(generator.normal())
    else:
        model = LogisticRegression()
        model.coef_, model.intercept_ = coefficients, generator.normal(size=outputs)
        model.classes_ = np.arange(outputs)
    model.n_features_in_ = width
    return model


def corner_rows(schema: Schema, seed: int, count: int = 12) -> pd.DataFrame:
    """Rows at the schema's bounds: all low, all high, and random corners."""
    generator = np.random.default_rng(seed)
    picks = [np.zeros(len(schema.columns()), int), np.ones(len(schema.columns()), int)]
    picks += list(generator.integers(0, 2, size=(count, len(schema.columns()))))
    rows = []
    for pick in picks:
        row = {}
        for high, (name, feature) in zip(pick, schema.columns(), strict=True):
            if feature.kind == "number":
                row[name] = feature.max if high else feature.min
            else:
                row[name] = feature.categories[-1 if high else 0]
        rows.append(row)
    return pd.DataFrame(rows)


def disagreements(folder: Path, quantized, X: np.ndarray) -> int:
    """Rows on which the saved circuit, executed encrypted, differs from the quantized model."""
    from concrete.ml.deployment import FHEModelClient, FHEModelServer

    client, server = FHEModelClient(str(folder)), FHEModelServer(str(folder))
    client.generate_private_and_evaluation_keys()
    keys = client.get_serialized_evaluation_keys()
    expected = quantized_outputs(quantized, X)
    wrong = 0
    for row, clear in zip(X, expected, strict=True):
        result = server.run(client.quantize_encrypt_serialize(row[None]), keys)
        wrong += not np.array_equal(np.ravel(client.deserialize_decrypt(result)), np.ravel(clear))
    return wrong


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(schema=schemas(), outputs=st.sampled_from([1, 3, 5]), seed=st.integers(0, 2**31))
def test_rows_at_the_corners_of_the_bounds_agree_exactly(tmp_path_factory, schema, outputs, seed):
    folder = tmp_path_factory.mktemp("circuit")
    compiled = compile_model(linear_model(schema.width, outputs, seed), schema.width, 8, folder)
    X = encode(corner_rows(schema, seed), schema).X
    assert disagreements(folder, compiled.quantized, X) == 0


def random_calibration(quantized, width):
    """What the published demo does: uniform random rows, and no worst case."""
    del quantized
    return np.random.default_rng(0).random((100, width))


@pytest.mark.parametrize(("outputs", "width", "seed"), [(1, 400, 4), (3, 64, 5)])
def test_of_the_test_without_worst_case_rows_corners_disagree(tmp_path, outputs, width, seed):
    from concrete.ml.deployment import FHEModelDev

    from server_app.quantize import quantized_model

    model = linear_model(width, outputs, seed)
    wrong = {}
    for name, calibrate in (("random", random_calibration), ("worst", calibration_rows)):
        quantized = quantized_model(model, width, 8)
        quantized.compile(calibrate(quantized, width))
        FHEModelDev(str(tmp_path / name), quantized).save(via_mlir=True)
        rows = calibration_rows(quantized, width)
        wrong[name] = disagreements(tmp_path / name, quantized, rows)
    assert wrong["worst"] == 0
    assert wrong["random"] > 0


def test_the_gate_refuses_a_circuit_that_overflows(tmp_path):
    with pytest.raises(PublishError, match="the gate is closed"):
        compile_model(linear_model(64, 3, seed=5), 64, 8, tmp_path, calibrate=random_calibration)
