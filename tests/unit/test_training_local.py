"""A participant's fit: warm starts, absent classes, seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_estimators import rows, study

from blindfit.errors import TrainingError
from blindfit.estimators import get_parameters, initial_parameters, make_estimator
from client_app.training import evaluate_local, fit_local


def test_the_fit_starts_from_the_global_parameters() -> None:
    contract = study("LogisticRegression", {"max_iter": 1})
    X, y = rows("LogisticRegression")
    start = get_parameters(make_estimator(study("LogisticRegression")).fit(X, y))

    cold = fit_local(contract, initial_parameters(contract), X, y, seed=1)
    warm = fit_local(contract, start, X, y, seed=1)

    losses = [evaluate_local(contract, p, X, y).mean_loss() for p in (cold, warm, start)]
    assert losses[1] == pytest.approx(losses[2], rel=1e-3)
    assert losses[0] > 1.2 * losses[1]


@pytest.mark.parametrize("name", ["LogisticRegression", "LinearSVC", "SGDClassifier"])
def test_a_class_that_is_absent_keeps_its_global_parameters(name: str) -> None:
    contract = study(name)
    X, y = rows(name)
    start = [np.full((3, 5), 0.25), np.full(3, -0.5)]

    coefficients, intercept = fit_local(contract, start, X[y != 2], y[y != 2], seed=1)

    np.testing.assert_array_equal(coefficients[2], start[0][2])
    assert intercept[2] == start[1][2]
    assert not np.allclose(coefficients[0], start[0][0])
    assert not np.allclose(coefficients[1], start[0][1])


@pytest.mark.parametrize("name", ["LogisticRegression", "LinearSVC", "SGDClassifier"])
def test_with_one_class_of_two_the_global_parameters_come_back(name: str) -> None:
    contract = study(name, classes=(0, 1))
    X, _ = rows(name)
    start = [np.full((1, 5), 0.25), np.full(1, -0.5)]
    update = fit_local(contract, start, X, np.zeros(len(X), int), seed=1)
    np.testing.assert_array_equal(update[0], start[0])
    np.testing.assert_array_equal(update[1], start[1])


def test_text_classes_train() -> None:
    contract = study("LogisticRegression", classes=("ham", "spam"))
    X, y = rows("LogisticRegression", 2)
    labels = np.where(y == 1, "spam", "ham")
    update = fit_local(contract, initial_parameters(contract), X, labels, seed=1)
    assert evaluate_local(contract, update, X, labels).accuracy() > 0.8


def test_the_seed_decides_unless_the_study_does() -> None:
    X, y = rows("SGDClassifier")

    def first(params: dict[str, Any], seed: int) -> np.ndarray:
        contract = study("SGDClassifier", params)
        return fit_local(contract, initial_parameters(contract), X, y, seed=seed)[0]

    np.testing.assert_array_equal(first({}, 1), first({}, 1))
    assert not np.array_equal(first({}, 1), first({}, 2))
    np.testing.assert_array_equal(first({"random_state": 3}, 1), first({"random_state": 3}, 2))


def test_early_stopping_works_with_an_absent_class() -> None:
    contract = study("SGDClassifier", {"early_stopping": True})
    X, y = rows("SGDClassifier")
    update = fit_local(contract, initial_parameters(contract), X[y != 2], y[y != 2], seed=1)
    assert np.isfinite(update[0]).all()


def test_rows_that_cannot_be_fitted_are_an_error_that_does_not_quote_them() -> None:
    contract = study("LinearRegression")
    X, y = rows("LinearRegression")
    X[3, 2] = np.inf
    with pytest.raises(TrainingError, match=r"cannot fit these rows \(ValueError\)$"):
        fit_local(contract, initial_parameters(contract), X, y, seed=1)
