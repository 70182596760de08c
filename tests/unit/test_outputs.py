"""Predictions from scores, against scikit-learn itself."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import (
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.svm import LinearSVC

from blindfit.outputs import interpret
from server_app.quantize import output_kind

GENERATOR = np.random.default_rng(0)
X = GENERATOR.random((120, 4))


def _manifest(model, classes):
    schema = SimpleNamespace(classes=classes, target="y")
    return SimpleNamespace(output=output_kind(model), schema_=schema)


def _scores(model):
    return (X @ np.atleast_2d(model.coef_).T + model.intercept_).reshape(len(X), -1)


@pytest.mark.parametrize("classes", [("no", "yes"), (3, 5, 9)])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        LogisticRegression(multi_class="ovr"),
        LogisticRegression(multi_class="multinomial"),
        LogisticRegression(solver="liblinear"),
        SGDClassifier(loss="log_loss", random_state=0),
    ],
    ids=["default", "ovr", "multinomial", "liblinear", "sgd"],
)
def test_probabilities_are_scikit_learns(model, classes):
    y = np.asarray(classes)[np.arange(len(X)) % len(classes)]
    model.fit(X, y)
    predictions = interpret(_manifest(model, classes), _scores(model))
    np.testing.assert_allclose(predictions.probabilities, model.predict_proba(X), atol=1e-12)
    assert predictions.values.tolist() == model.predict(X).tolist()


@pytest.mark.parametrize("model", [LinearSVC(), SGDClassifier(loss="hinge", random_state=0)])
def test_estimators_without_probabilities_have_none(model):
    y = np.arange(len(X)) % 3
    model.fit(X, y)
    predictions = interpret(_manifest(model, (0, 1, 2)), _scores(model))
    assert predictions.probabilities is None
    assert predictions.values.tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    "model",
    [
        Ridge(),
        PoissonRegressor(),
        TweedieRegressor(power=1.5),
        TweedieRegressor(power=0, link="log"),
        TweedieRegressor(power=0),
    ],
)
def test_values_go_through_the_inverse_link(model):
    model.fit(X, 1 + X.sum(axis=1))
    predictions = interpret(_manifest(model, None), _scores(model))
    np.testing.assert_allclose(predictions.values, model.predict(X), rtol=1e-12)


def test_extreme_scores_do_not_overflow():
    model = LogisticRegression().fit(X, np.arange(len(X)) % 2)
    with np.errstate(over="raise"):
        predictions = interpret(_manifest(model, (0, 1)), np.array([[-1e4], [1e4]]))
    assert predictions.probabilities.tolist() == [[1.0, 0.0], [0.0, 1.0]]
