"""Losses against numerical differences and against scikit-learn's own."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from fixtures_privacy import WIDTH, private_rows, private_study
from sklearn.metrics import log_loss, mean_gamma_deviance, mean_poisson_deviance

from blindfit.class_losses import MARGIN_LOSSES, TWO_CLASS_SOFTMAX, SoftmaxLoss
from blindfit.errors import StudyError
from blindfit.estimators import (
    Parameters,
    get_parameters,
    make_estimator,
    parameter_shapes,
    set_parameters,
)
from blindfit.linear_loss import LinearLoss, row_losses, score_gradients
from blindfit.standard_units import standard_units, to_model_units, to_standard_units
from blindfit.study import EstimatorName, Study
from blindfit.value_losses import SQUARED_ERROR, huber, squared_epsilon_insensitive

NO_INTERCEPT = {"fit_intercept": False}
CASES: list[tuple[str, dict[str, Any], int]] = [
    ("LogisticRegression", {}, 2),
    ("LogisticRegression", {}, 3),
    ("LogisticRegression", {"multi_class": "ovr"}, 3),
    ("LogisticRegression", {"multi_class": "multinomial"}, 2),
    ("LogisticRegression", {"solver": "liblinear"}, 3),
    ("LogisticRegression", {"class_weight": {"0": 3.0, "1": 1.0, "2": 0.5}}, 3),
    ("LogisticRegression", NO_INTERCEPT, 3),
    ("LinearSVC", {"loss": "squared_hinge"}, 2),
    ("LinearSVC", {"loss": "hinge"}, 3),
    ("SGDClassifier", {"loss": "hinge"}, 3),
    ("SGDClassifier", {"loss": "log_loss"}, 3),
    ("SGDClassifier", {"loss": "modified_huber"}, 3),
    ("SGDClassifier", {"loss": "squared_hinge"}, 2),
    ("SGDClassifier", {"loss": "perceptron"}, 2),
    ("LinearRegression", {}, 0),
    ("LinearRegression", NO_INTERCEPT, 0),
    ("Ridge", {}, 0),
    ("Lasso", {}, 0),
    ("ElasticNet", {}, 0),
    ("SGDRegressor", {"loss": "squared_error"}, 0),
    ("SGDRegressor", {"loss": "huber", "epsilon": 0.7}, 0),
    ("SGDRegressor", {"loss": "epsilon_insensitive", "epsilon": 0.7}, 0),
    ("SGDRegressor", {"loss": "squared_epsilon_insensitive", "epsilon": 0.7}, 0),
    ("LinearSVR", {"epsilon": 0.3}, 0),
    ("LinearSVR", {"loss": "squared_epsilon_insensitive", "epsilon": 0.3}, 0),
    ("PoissonRegressor", {}, 0),
    ("PoissonRegressor", NO_INTERCEPT, 0),
    ("GammaRegressor", {}, 0),
    ("TweedieRegressor", {"power": 0}, 0),
    ("TweedieRegressor", {"power": 0, "link": "log"}, 0),
    ("TweedieRegressor", {"power": 1.5}, 0),
    ("TweedieRegressor", {"power": 3}, 0),
    ("TweedieRegressor", {"power": -1, "link": "log"}, 0),
]


def at_random(study: Study, seed: int = 1) -> Parameters:
    rng = np.random.default_rng(seed)
    return [rng.normal(scale=0.6, size=shape) for shape in parameter_shapes(study)]


def test_every_estimator_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == set(get_args(EstimatorName))


@pytest.mark.parametrize(("name", "params", "classes"), CASES)
def test_derivatives_are_those_of_the_loss(name: str, params: dict[str, Any], classes: int) -> None:
    study = private_study(name, params, classes=classes)
    estimator, parameters = make_estimator(study), at_random(study)
    X, y = private_rows(study)
    slopes = score_gradients(study, estimator, parameters, X, y)
    by_coefficients = slopes.T @ X
    by_intercept = slopes.sum(axis=0)

    def total(changed: Parameters) -> float:
        return float(row_losses(study, estimator, changed, X, y).sum())

    step = 1e-6
    for position, gradient in enumerate((by_coefficients, by_intercept)):
        for index in np.ndindex(parameters[position].shape):
            ends = []
            for sign in (1, -1):
                moved = [array.copy() for array in parameters]
                moved[position][index] += sign * step
                ends.append(total(moved))
            expected = (ends[0] - ends[1]) / (2 * step)
            if position == 1 and not estimator.fit_intercept:
                assert expected == 0
                continue
            got = gradient.reshape(parameters[position].shape)[index]
            assert got == pytest.approx(expected, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(("name", "params", "classes"), CASES)
def test_parameters_return_from_the_models_units(
    name: str, params: dict[str, Any], classes: int
) -> None:
    study = private_study(name, params, classes=classes)
    parameters = at_random(study)
    if not make_estimator(study).fit_intercept:
        parameters[1] = np.zeros_like(parameters[1])
    back = to_standard_units(study, to_model_units(study, parameters))
    for one, other in zip(back, parameters, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def fitted(study: Study, parameters: Parameters) -> Any:
    return set_parameters(make_estimator(study), study, to_model_units(study, parameters))


@pytest.mark.parametrize(
    ("params", "classes"), [({}, 2), ({}, 3), ({"multi_class": "multinomial"}, 2)]
)
def test_the_logistic_loss_is_scikit_learns(params: dict[str, Any], classes: int) -> None:
    study = private_study("LogisticRegression", params, classes=classes)
    X, y = private_rows(study)
    parameters = at_random(study)
    ours = row_losses(study, make_estimator(study), parameters, X, y)
    theirs = log_loss(y, fitted(study, parameters).predict_proba(X), normalize=False)
    assert ours.sum() == pytest.approx(theirs)


@pytest.mark.parametrize("params", [{}, NO_INTERCEPT])
@pytest.mark.parametrize(
    ("name", "deviance"),
    [("PoissonRegressor", mean_poisson_deviance), ("GammaRegressor", mean_gamma_deviance)],
)
def test_a_deviance_is_scikit_learns_in_other_units(
    name: str, deviance: Any, params: dict[str, Any]
) -> None:
    study = private_study(name, params, bounds=(2.0, 50.0))
    estimator = make_estimator(study)
    X, y = private_rows(study)
    parameters = at_random(study)
    units = standard_units(study, estimator)
    ours = 2 * row_losses(study, estimator, parameters, X, y).mean() * units.scale**units.degree
    if not estimator.fit_intercept:
        parameters[1] = np.zeros(1)
    assert ours == pytest.approx(deviance(y, fitted(study, parameters).predict(X)))


@pytest.mark.parametrize("params", [{}, NO_INTERCEPT])
def test_a_squared_error_is_the_models_in_other_units(params: dict[str, Any]) -> None:
    study = private_study("Ridge", params, bounds=(-3.0, 50.0))
    X, y = private_rows(study)
    parameters = at_random(study)
    estimator = make_estimator(study)
    scale = standard_units(study, estimator).scale
    ours = 2 * scale**2 * row_losses(study, estimator, parameters, X, y)
    np.testing.assert_allclose(ours, (fitted(study, parameters).predict(X) - y) ** 2)


@pytest.mark.parametrize("name", ["Ridge", "PoissonRegressor", "LinearSVR", "SGDRegressor"])
def test_derivatives_do_not_depend_on_what_the_target_is_measured_in(name: str) -> None:
    params = {"epsilon": 0.0} if name == "LinearSVR" else {}
    small = private_study(name, params, bounds=(1.0, 9.0))
    large = private_study(name, params, bounds=(1e6, 9e6))
    X, y = private_rows(small)
    parameters = at_random(small)
    slopes = [
        score_gradients(study, make_estimator(study), parameters, X, target)
        for study, target in ((small, y), (large, y * 1e6))
    ]
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-9)


@pytest.mark.parametrize(
    "loss",
    [
        *(MARGIN_LOSSES[name] for name in ("log_loss", "squared_hinge", "modified_huber")),
        *(TWO_CLASS_SOFTMAX, SoftmaxLoss()),
        *(SQUARED_ERROR, huber(0.5), squared_epsilon_insensitive(0.5)),
    ],
)
def test_a_smooth_losss_curvature_is_the_largest_change_of_its_derivative(loss: LinearLoss) -> None:
    scores = np.random.default_rng(2).normal(size=(20_000, 2))
    targets = np.array([[1.0, -1.0]] * len(scores))
    if not isinstance(loss, SoftmaxLoss):
        scores, targets = scores[:, :1], targets[:, :1]
    further = scores + np.array([1e-5, 0.0])[: scores.shape[1]]
    change = loss.slope(further, targets) - loss.slope(scores, targets)
    assert np.abs(change).max() / 1e-5 == pytest.approx(loss.curvature, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("LinearSVC", {"multi_class": "crammer_singer"}, r"multi_class: 'crammer_singer'"),
        ("SGDClassifier", {"loss": "squared_error"}, r"loss: 'squared_error'"),
        ("LogisticRegression", {"class_weight": "balanced"}, r"class_weight: 'balanced' counts"),
        ("TweedieRegressor", {"power": 1.5, "link": "identity"}, r"link: an identity link"),
    ],
)
def test_what_has_no_private_form_is_named(name: str, params: dict[str, Any], message: str) -> None:
    study = private_study(name, params)
    X, y = private_rows(study)
    with pytest.raises(StudyError, match=rf"model\.params\.{message}") as caught:
        score_gradients(study, make_estimator(study), at_random(study), X, y)
    assert caught.value.hint


def test_scores_beyond_all_reason_leave_finite_derivatives() -> None:
    for name, params, classes in CASES:
        study = private_study(name, params, classes=classes)
        X, y = private_rows(study)
        for size in (1e100, -1e100):
            huge = [np.full(shape, size) for shape in parameter_shapes(study)]
            slopes = score_gradients(study, make_estimator(study), huge, X, y)
            assert np.isfinite(slopes).all(), (name, params)


def test_text_classes_are_told_apart() -> None:
    document = private_study("LogisticRegression", classes=2).model_dump(by_alias=True)
    document["schema"]["classes"] = ["ham", "spam"]
    study = Study.model_validate(document)
    parameters = [np.zeros((1, WIDTH)), np.zeros(1)]
    labels = np.array(["spam", "ham"])
    slopes = score_gradients(study, make_estimator(study), parameters, np.ones((2, WIDTH)), labels)
    np.testing.assert_allclose(slopes, [[-0.5], [0.5]])
    assert get_parameters(fitted(study, parameters))[0].shape == (1, WIDTH)
