"""Models put together from averaged parameters are what Concrete ML takes."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from blindfit.averaging import Averaging
from blindfit.estimators import initial_parameters, make_estimator, set_parameters
from blindfit.metrics import Metrics
from blindfit.study import CLASSIFIERS, EstimatorName, Study
from client_app.training import fit_local
from server_app.quantize import quantized_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SPARSE = {"alpha": 0.01}


def contract(name: str) -> Study:
    feature = {"name": "x{0..4}", "kind": "number", "min": 0, "max": 1}
    target = (
        {"classes": [0, 1, 2]} if name in CLASSIFIERS else {"target_range": {"min": 1, "max": 6}}
    )
    # With their default strength, Lasso and ElasticNet answer the mean here.
    params = {"SGDClassifier": {"loss": "log_loss"}, "Lasso": SPARSE, "ElasticNet": SPARSE}
    return Study.model_validate(
        {
            "study": {"name": "t"},
            "model": {"estimator": name, "params": params.get(name, {})},
            "schema": {"target": "y", "features": [feature]} | target,
        }
    )


@pytest.mark.parametrize("name", get_args(EstimatorName))
def test_an_averaged_model_becomes_a_quantized_one_that_agrees(name: str) -> None:
    random = np.random.default_rng(0)
    X = random.random((200, 5))
    y = 1 + X @ np.array([1, 2, 0, 0.5, 0.3])
    if name in CLASSIFIERS:
        y = X[:, :3].argmax(axis=1)
    study = contract(name)
    zeros = initial_parameters(study)
    averaging = Averaging(study, 2)
    words = [
        averaging.encode(Metrics(100, 0.0), fit_local(study, zeros, X[part], y[part], seed=1))
        for part in (slice(100), slice(100, None))
    ]
    _, mean = averaging.decode(words[0] + words[1])
    assert mean is not None
    model = set_parameters(make_estimator(study), study, mean)

    quantized = quantized_model(model, 5, 8)

    clear, predicted = model.predict(X), np.asarray(quantized.predict(X)).ravel()
    if name in CLASSIFIERS:
        assert (predicted == clear).mean() > 0.95
    else:
        np.testing.assert_allclose(predicted, clear, rtol=0.05)
