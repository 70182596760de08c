"""Whether descent goes where scikit-learn goes, when there is no noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fixtures_privacy import WIDTH, private_rows, private_study

from blindfit.errors import TrainingError
from blindfit.estimators import (
    Parameters,
    get_parameters,
    initial_parameters,
    make_estimator,
    parameter_shapes,
)
from blindfit.linear_loss import row_losses, score_gradients
from blindfit.standard_units import to_standard_units
from blindfit.study import Study
from blindfit.sum_layout import read_noisy_sum
from client_app.row_gradients import clipped_sum
from server_app.descent import Descent
from server_app.penalty import penalty_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROWS = 120
TIGHT = {"tol": 1e-12, "max_iter": 200_000}
SVM = TIGHT | {"dual": False}
# What scikit-learn solves to its optimum.
SOLVED: list[tuple[str, dict[str, Any], int]] = [
    ("LogisticRegression", {"C": 0.5, **TIGHT}, 2),
    ("LogisticRegression", {"C": 2.0, **TIGHT}, 3),
    ("LogisticRegression", {"penalty": "none", **TIGHT}, 3),
    ("LogisticRegression", {"C": 0.5, "multi_class": "ovr", **TIGHT}, 3),
    ("LogisticRegression", {"C": 0.5, "multi_class": "multinomial", **TIGHT}, 2),
    ("LogisticRegression", {"solver": "newton-cholesky", **TIGHT}, 3),
    ("LogisticRegression", {"fit_intercept": False, **TIGHT}, 3),
    ("LogisticRegression", {"class_weight": {"0": 3.0, "2": 0.5}, **TIGHT}, 3),
    ("LogisticRegression", {"penalty": "l1", "solver": "saga", "C": 0.2, **TIGHT}, 3),
    (
        "LogisticRegression",
        {"penalty": "elasticnet", "solver": "saga", "l1_ratio": 0.3, "C": 0.2, **TIGHT},
        2,
    ),
    ("LogisticRegression", {"solver": "liblinear", "intercept_scaling": 2.0, **TIGHT}, 3),
    ("LogisticRegression", {"solver": "liblinear", "penalty": "l1", "C": 0.3, **TIGHT}, 2),
    ("LinearSVC", {"C": 0.5, "intercept_scaling": 3.0, **SVM}, 3),
    ("LinearSVC", {"C": 0.1, "penalty": "l1", **SVM}, 2),
    ("LinearRegression", {}, 0),
    ("LinearRegression", {"fit_intercept": False}, 0),
    ("LinearRegression", {"positive": True}, 0),
    ("Ridge", {"alpha": 3.0, "tol": 1e-12}, 0),
    ("Ridge", {"alpha": 3.0, "fit_intercept": False, "tol": 1e-12}, 0),
    ("Ridge", {"alpha": 3.0, "positive": True, "tol": 1e-12}, 0),
    ("Lasso", {"alpha": 0.1, **TIGHT}, 0),
    ("Lasso", {"alpha": 0.1, "positive": True, **TIGHT}, 0),
    ("ElasticNet", {"alpha": 0.1, "l1_ratio": 0.4, **TIGHT}, 0),
    ("LinearSVR", {"loss": "squared_epsilon_insensitive", "epsilon": 0.2, "C": 0.3, **SVM}, 0),
    ("PoissonRegressor", {"alpha": 0.2, **TIGHT}, 0),
    ("PoissonRegressor", {"alpha": 0.2, "fit_intercept": False, **TIGHT}, 0),
    ("GammaRegressor", {"alpha": 0.2, **TIGHT}, 0),
    ("TweedieRegressor", {"power": 0, "alpha": 0.2, **TIGHT}, 0),
    ("TweedieRegressor", {"power": 1.5, "alpha": 0.2, **TIGHT}, 0),
    ("TweedieRegressor", {"power": 3, "alpha": 0.02, **TIGHT}, 0),
]


def gradient_at(
    study: Study, parameters: Parameters, X: np.ndarray, y: np.ndarray, estimator: Any = None
) -> Parameters:
    estimator = estimator or make_estimator(study)
    slopes = score_gradients(study, estimator, parameters, X, y)
    by_coefficients, by_intercept = parameter_shapes(study)
    by_one = slopes.sum(axis=0) if estimator.fit_intercept else np.zeros(by_intercept)
    return [(slopes.T @ X).reshape(by_coefficients), by_one]


def solved(study: Study, X: np.ndarray, y: np.ndarray) -> Parameters:
    """scikit-learn's optimum, standardised."""
    estimator = make_estimator(study)
    if "random_state" in estimator.get_params():
        # liblinear visits coordinates in random order, and not every order ends at the optimum.
        estimator.set_params(random_state=0)
    return to_standard_units(study, get_parameters(estimator.fit(X, y)))


@pytest.mark.parametrize(("name", "params", "classes"), SOLVED)
def test_scikit_learns_optimum_is_where_descent_stays(
    name: str, params: dict[str, Any], classes: int
) -> None:
    """Gradient and penalty together, each exactly scaled, leave the optimum alone."""
    study = private_study(name, params, classes=classes)
    X, y = private_rows(study, ROWS)
    optimum = solved(study, X, y)
    penalty = penalty_of(study, make_estimator(study), ROWS)
    step = 0.1
    gradient, pull = gradient_at(study, optimum, X, y), penalty.gradient(optimum)
    moved = [
        now - step * (total / ROWS + back)
        for now, total, back in zip(optimum, gradient, pull, strict=True)
    ]
    for now, then in zip(optimum, penalty.proximal(moved, step), strict=True):
        np.testing.assert_allclose(then, now, atol=3e-6)


def test_an_sgd_estimator_is_pulled_as_its_exact_sisters_are() -> None:
    C = 0.5
    logistic = private_study("LogisticRegression", {"C": C, "multi_class": "ovr", **TIGHT})
    ridge = private_study("Ridge", {"alpha": 3.0})
    for study, sister, params in (
        (logistic, "SGDClassifier", {"loss": "log_loss", "alpha": 1 / (C * ROWS)}),
        (ridge, "SGDRegressor", {"alpha": 3.0 / ROWS}),
    ):
        X, y = private_rows(study, ROWS)
        optimum = solved(study, X, y)
        same = private_study(sister, params)
        gradient = gradient_at(same, optimum, X, y)
        pull = penalty_of(same, make_estimator(same), ROWS).gradient(optimum)
        for total, back in zip(gradient, pull, strict=True):
            np.testing.assert_allclose(total / ROWS + back, 0, atol=1e-6)


def descend(study: Study, X: np.ndarray, y: np.ndarray) -> Descent:
    state, estimator = Descent.begin(study), make_estimator(study)
    for _ in range(study.federation.rounds):
        gradient = gradient_at(study, state.parameters, X, y, estimator)
        state = state.next(study, estimator, gradient, len(X))
    return state


def after(study: Study, state: Descent, gradient: Parameters, rows: float) -> Descent:
    return state.next(study, make_estimator(study), gradient, rows)


def objective(study: Study, parameters: Parameters, X: np.ndarray, y: np.ndarray) -> float:
    estimator = make_estimator(study)
    penalty = penalty_of(study, estimator, len(X))
    total = float(row_losses(study, estimator, parameters, X, y).mean())
    for weights, array in zip((penalty.coefficients, penalty.intercept), parameters, strict=True):
        total += weights.l2 / 2 * float(((array - weights.centre) ** 2).sum())
        total += weights.l1 * float(np.abs(array).sum())
    return total


LONG = {"rounds": 800, "learning_rate": 1.0, "momentum": 0.9}
# A step for which a loss with a kink stays within a fraction of its optimum.
SHORT = {"rounds": 1200, "learning_rate": 0.02, "momentum": 0.9}
DESCENTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("LogisticRegression", TIGHT, LONG),
    ("LogisticRegression", {"penalty": "l1", "solver": "saga", "C": 0.2, **TIGHT}, LONG),
    ("LinearSVC", SVM, LONG),
    ("LinearSVC", {"loss": "hinge", "max_iter": 100_000}, SHORT),
    ("SGDClassifier", {"alpha": 0.01, "max_iter": 3000, "tol": "none"}, SHORT),
    ("LinearRegression", {}, LONG),
    ("Ridge", {"alpha": 0.5}, LONG),
    ("Lasso", {"alpha": 0.05, **TIGHT}, LONG),
    ("ElasticNet", {"alpha": 0.05, **TIGHT}, LONG),
    ("SGDRegressor", {"alpha": 0.01, "max_iter": 3000, "tol": "none"}, LONG),
    ("LinearSVR", {"max_iter": 200_000}, SHORT),
    ("PoissonRegressor", {"alpha": 0.01, **TIGHT}, LONG),
    ("GammaRegressor", {"alpha": 0.01, **TIGHT}, LONG),
    ("TweedieRegressor", {"power": 1.5, "alpha": 0.01, **TIGHT}, LONG),
]


@pytest.mark.parametrize(("name", "params", "how"), DESCENTS)
def test_a_long_descent_without_noise_reaches_scikit_learns_optimum(
    name: str, params: dict[str, Any], how: dict[str, Any]
) -> None:
    study = private_study(name, {"random_state": 0, **params} if "SGD" in name else params, **how)
    X, y = private_rows(study, ROWS)
    reached = objective(study, descend(study, X, y).average, X, y)
    best = objective(study, solved(study, X, y), X, y)
    assert reached <= best * 1.01 + 1e-9
    if "SGD" not in name and how is LONG:  # what scikit-learn solves exactly is not undercut
        assert reached >= best * (1 - 1e-6)


def test_clipped_sums_of_participants_lead_to_the_optimum_too() -> None:
    study = private_study("LogisticRegression", clip=16.0, rounds=120, learning_rate=1.0)
    X, y = private_rows(study, ROWS)
    state = Descent.begin(study)
    for _ in range(study.federation.rounds):
        parts = [clipped_sum(study, state.parameters, X[i::3], y[i::3], 16.0) for i in range(3)]
        told = read_noisy_sum(study, sum(parts), 16.0)
        state = after(study, state, told.gradient, told.rows)
    best = objective(study, solved(study, X, y), X, y)
    assert objective(study, state.average, X, y) == pytest.approx(best, rel=1e-3)
    assert make_estimator(study).fit(X, y).score(X, y) == pytest.approx(
        told.metrics.accuracy(), abs=0.02
    )


def test_momentum_keeps_a_descent_going() -> None:
    study = private_study("Ridge", {"alpha": 1e-9}, learning_rate=0.1, momentum=0.5)
    ones = [np.ones_like(array) for array in initial_parameters(study)]
    first = after(study, Descent.begin(study), ones, 10.0)
    second = after(study, first, [0 * array for array in ones], 10.0)
    moved = first.parameters[1][0]
    assert moved < 0
    assert second.parameters[1][0] == pytest.approx(1.5 * moved)
    assert second.velocity[1][0] == pytest.approx(0.5 * moved)


def test_the_model_is_the_mean_of_the_last_quarter_of_the_rounds() -> None:
    study = private_study("Ridge", rounds=8, momentum=0.0)
    rng = np.random.default_rng(0)
    state, seen = Descent.begin(study), []
    for _ in range(8):
        gradient = [rng.normal(size=shape) for shape in parameter_shapes(study)]
        state = after(study, state, gradient, 10.0)
        seen.append(state.parameters)
        if len(seen) <= 6:
            np.testing.assert_array_equal(state.average[0], state.parameters[0])
    np.testing.assert_allclose(state.average[0], np.mean([p[0] for p in seen[-2:]], axis=0))
    back = to_standard_units(study, state.model(study))
    np.testing.assert_allclose(back[0], state.average[0])


def test_row_counts_are_averaged_and_never_below_one() -> None:
    study = private_study("Ridge")
    zeros = initial_parameters(study)
    first = after(study, Descent.begin(study), zeros, -50.0)
    state = after(study, first, zeros, 90.0)
    assert state.rows == pytest.approx(20.0)
    ones = [array + 1.0 for array in zeros]
    counts = [after(study, Descent.begin(study), ones, rows) for rows in (-50.0, 1.0)]
    np.testing.assert_array_equal(counts[0].parameters[0], counts[1].parameters[0])


def test_no_mean_gradient_is_longer_than_the_clip() -> None:
    study = private_study("Ridge", {"alpha": 1e-9}, clip=0.5, learning_rate=1.0, momentum=0.0)
    huge = [np.full(shape, 1e3) for shape in parameter_shapes(study)]
    state = after(study, Descent.begin(study), huge, 1.0)
    moved = np.concatenate([array.ravel() for array in state.parameters])
    assert np.linalg.norm(moved) == pytest.approx(0.5 / (1 + WIDTH / 3))


def test_without_an_intercept_its_noise_is_dropped() -> None:
    study = private_study("LogisticRegression", {"fit_intercept": False})
    ones = [np.ones(shape) for shape in parameter_shapes(study)]
    state = after(study, Descent.begin(study), ones, 10.0)
    assert (state.parameters[1] == 0).all() and (state.parameters[0] != 0).all()


def test_a_descent_goes_on_from_its_checkpoint() -> None:
    study = private_study("ElasticNet", rounds=8)
    X, y = private_rows(study, ROWS)
    state = Descent.begin(study)
    for number in range(8):
        if number == 7:
            resumed = Descent.from_arrays(study, state.arrays())
        state = after(study, state, gradient_at(study, state.parameters, X, y), ROWS)
    resumed = after(study, resumed, gradient_at(study, resumed.parameters, X, y), ROWS)
    for name, array in state.arrays().items():
        np.testing.assert_array_equal(resumed.arrays()[name], array)


@pytest.mark.parametrize("wrong", ["missing", "shape", "nan"])
def test_another_checkpoint_is_refused(wrong: str) -> None:
    study = private_study("Ridge")
    arrays = Descent.begin(study).arrays()
    if wrong == "missing":
        del arrays["intercept_velocity"]
    elif wrong == "shape":
        arrays["coefficients"] = np.zeros(9)
    else:
        arrays["progress"] = np.array([math.nan, 1.0])
    with pytest.raises(TrainingError, match="checkpoint's"):
        Descent.from_arrays(study, arrays)


def test_a_descent_that_diverges_is_ended() -> None:
    study = private_study("Ridge", {"alpha": 1e6}, learning_rate=1e5)
    gradient = [np.ones(shape) for shape in parameter_shapes(study)]
    first = after(study, Descent.begin(study), gradient, 1.0)
    with pytest.raises(TrainingError, match="left all bounds") as caught:
        after(study, first, gradient, 1.0)
    assert "learning_rate" in caught.value.hint


def test_a_study_without_a_guarantee_for_rows_is_not_descended() -> None:
    study = private_study("Ridge", kind="participants")
    with pytest.raises(TrainingError, match=r"no \[privacy\.records\]"):
        after(study, Descent.begin(study), initial_parameters(study), 1.0)
