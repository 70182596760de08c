"""How far one row can move a sum, and what the coordinator reads from one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from fixtures_privacy import WIDTH, private_rows, private_study
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blindfit.errors import StudyError, TrainingError, UpdateError
from blindfit.estimators import (
    Parameters,
    flatten,
    initial_parameters,
    make_estimator,
    parameter_shapes,
    set_parameters,
)
from blindfit.linear_loss import score_gradients
from blindfit.metrics import evaluate
from blindfit.standard_units import to_model_units
from blindfit.study import EstimatorName, Study
from blindfit.sum_layout import (
    EXTRA_WEIGHT,
    dimension,
    extras,
    read_noisy_sum,
    read_noisy_updates,
    sensitivity,
)
from client_app.clipped_update import clipped_update
from client_app.row_gradients import Quantum, clipped_sum

NAMES = get_args(EstimatorName)
LARGE = 1e4  # a clip that no row reaches
STUDIES = {
    (name, classes, intercept): private_study(
        name, {"fit_intercept": intercept}, classes=classes, bounds=(0.5, 1e4)
    )
    for name in NAMES
    for classes in (2, 3)
    for intercept in (True, False)
}


def at_random(study: Study, size: float = 0.5, seed: int = 1) -> Parameters:
    rng = np.random.default_rng(seed)
    return [size * rng.normal(size=shape) for shape in parameter_shapes(study)]


def exact_norm(vector: np.ndarray) -> Fraction:
    """The square of the L2 norm, without rounding."""
    return sum((Fraction(number) ** 2 for number in vector.tolist()), Fraction(0))


@st.composite
def any_row(draw: st.DrawFn) -> tuple[Study, Parameters, np.ndarray, Any, float]:
    study = STUDIES[draw(st.sampled_from(sorted(STUDIES)))]
    X = draw(arrays(np.float64, (1, WIDTH), elements=st.floats(0, 1)))
    bounds = study.schema_.target_range
    y = (
        draw(st.sampled_from(study.schema_.classes or (0,)))
        if bounds is None
        else draw(st.floats(bounds.min, bounds.max))
    )
    size = 10.0 ** draw(st.integers(-3, 99))
    parameters = [
        size * draw(arrays(np.float64, shape, elements=st.floats(-1, 1)))
        for shape in parameter_shapes(study)
    ]
    clip = draw(st.sampled_from([1e-6, 0.3, 1.0, 7.0, 1e6]))
    return study, parameters, X, np.array([y]), clip


@settings(max_examples=150, deadline=None)
@given(any_row())
def test_no_row_exceeds_the_sensitivity(
    row: tuple[Study, Parameters, np.ndarray, Any, float],
) -> None:
    study, parameters, X, y, clip = row
    vector = clipped_sum(study, parameters, X, y, clip)
    assert np.isfinite(vector).all()
    told = len(extras(study))
    assert exact_norm(vector[:-told]) <= Fraction(clip) ** 2
    assert np.abs(vector[-told:]).max() <= EXTRA_WEIGHT * clip
    assert exact_norm(vector) <= Fraction(sensitivity(study, clip)) ** 2


@pytest.mark.parametrize("name", ["LogisticRegression", "Ridge", "PoissonRegressor"])
def test_the_sensitivity_is_not_larger_than_a_row_can_be(name: str) -> None:
    """A row that is clipped, and whose extras are at their largest."""
    study = private_study(name)
    bounds = study.schema_.target_range
    y = np.array([2] if bounds is None else [bounds.max])
    away = [np.full(shape, 50.0) for shape in parameter_shapes(study)]
    if bounds is None:
        away[0][2] = -50.0
    vector = clipped_sum(study, away, np.ones((1, WIDTH)), y, 1.0)
    told = dict(zip(extras(study), vector[-len(extras(study)) :], strict=True))
    largest = 1.0 + EXTRA_WEIGHT**2 * sum(value != 0 for value in told.values())
    assert np.linalg.norm(vector) == pytest.approx(np.sqrt(largest), rel=1e-6)
    assert np.linalg.norm(vector) <= sensitivity(study, 1.0)


@pytest.mark.parametrize("case", sorted(STUDIES))
def test_without_clipping_it_is_the_gradient_and_the_metrics(case: tuple[str, int, bool]) -> None:
    name, classes, intercept = case
    study = private_study(name, {"fit_intercept": intercept}, classes=classes, bounds=(0.1, 5.0))
    X, y = private_rows(study)
    parameters = [np.abs(array) for array in at_random(study, 0.1)]  # no prediction below 0
    if not intercept:
        parameters[1][:] = 0
    told = read_noisy_sum(study, clipped_sum(study, parameters, X, y, LARGE), LARGE)

    slopes = score_gradients(study, make_estimator(study), parameters, X, y)
    by_intercept = slopes.sum(axis=0) if intercept else np.zeros(slopes.shape[1])
    expected = np.concatenate([(slopes.T @ X).ravel(), by_intercept])
    np.testing.assert_allclose(flatten(told.gradient), expected, atol=2e-3 * len(X))

    fitted = set_parameters(make_estimator(study), study, to_model_units(study, parameters))
    metrics = evaluate(fitted, study, X, y)
    assert told.rows == pytest.approx(len(X))
    for name, value in metrics.as_dict().items():
        assert told.metrics.as_dict()[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


def test_a_sum_is_the_sum_of_its_rows_to_the_last_bit() -> None:
    study = private_study("LogisticRegression", max_rows=1000)
    X, y = private_rows(study, 50)
    parameters = at_random(study, 3.0)
    alone = sum(clipped_sum(study, parameters, X[[i]], y[[i]], 0.3) for i in range(len(X)))
    together = clipped_sum(study, parameters, X, y, 0.3)
    backwards = clipped_sum(study, parameters, X[::-1], y[::-1], 0.3)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, backwards)


def test_rows_beyond_a_batch_are_added_exactly() -> None:
    study = private_study("LogisticRegression", width=2)
    batch = Quantum.of(study, 1.0).batch
    X, y = private_rows(study, batch + 3)
    parameters = at_random(study, 3.0)
    parts = [
        clipped_sum(study, parameters, X[rows], y[rows], 1.0)
        for rows in (slice(0, 100), slice(100, None))
    ]
    np.testing.assert_array_equal(clipped_sum(study, parameters, X, y, 1.0), sum(parts))


@pytest.mark.parametrize("max_rows", [1, 1000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("clip", [1e-6, 0.7, 1.0, 1e6])
def test_sums_fit_into_their_words(max_rows: int, clip: float) -> None:
    quantum = Quantum.of(private_study("Ridge", max_rows=max_rows), clip)
    assert max_rows * clip / quantum.unit < 2**63
    assert quantum.batch * clip / quantum.unit <= 2**53
    assert clip / quantum.unit > 2**30  # fine enough


def test_class_weights_count_before_the_clip() -> None:
    weights = {"0": 1.0, "1": 5.0}
    plain = private_study("LogisticRegression", classes=2)
    weighted = private_study("LogisticRegression", {"class_weight": weights}, classes=2)
    X, y, start = np.full((1, WIDTH), 0.5), np.array([1]), initial_parameters(plain)
    one = clipped_sum(plain, start, X, y, LARGE)[: WIDTH + 1]
    five = clipped_sum(weighted, start, X, y, LARGE)[: WIDTH + 1]
    np.testing.assert_allclose(five, 5 * one, rtol=1e-4)
    assert np.linalg.norm(clipped_sum(weighted, start, X, y, 1.0)[: WIDTH + 1]) <= 1.0


def test_more_rows_than_agreed_are_refused() -> None:
    study = private_study("Ridge", max_rows=10)
    X, y = private_rows(study, 11)
    with pytest.raises(TrainingError, match=r"11 rows; the study allows 10"):
        clipped_sum(study, initial_parameters(study), X, y, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e101])
def test_parameters_that_are_not_numbers_are_refused(bad: float) -> None:
    study = private_study("Ridge")
    X, y = private_rows(study)
    parameters = initial_parameters(study)
    parameters[0][1] = bad
    with pytest.raises(TrainingError, match="not finite"):
        clipped_sum(study, parameters, X, y, 1.0)
    with pytest.raises(TrainingError, match="shapes"):
        clipped_sum(study, [np.zeros(2), np.zeros(1)], X, y, 1.0)


def test_a_loss_without_private_form_is_refused() -> None:
    study = private_study("SGDClassifier", {"loss": "huber"})
    X, y = private_rows(study)
    with pytest.raises(StudyError, match=r"model\.params\.loss"):
        clipped_sum(study, initial_parameters(study), X, y, 1.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [0.0, 1e3, -1e3])
def test_whatever_the_noise_metrics_are_possible(name: str, noise: float) -> None:
    study = STUDIES[name, 3, True]
    rng = np.random.default_rng(3)
    told = read_noisy_sum(study, noise * rng.normal(size=dimension(study)), 1.0)
    metrics = told.metrics
    assert metrics.rows >= 1 and 0 <= metrics.correct <= metrics.rows
    assert metrics.loss >= 0 and metrics.squared_error >= 0
    assert metrics.target_squared * metrics.rows >= metrics.target**2 * (1 - 1e-12)
    assert all(np.isfinite(value) for value in metrics.as_dict().values())


def test_a_sum_of_another_size_is_refused() -> None:
    study = private_study("Ridge")
    with pytest.raises(UpdateError, match="shape"):
        read_noisy_sum(study, np.zeros(dimension(study) + 1), 1.0)


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-1e200, 1e200),
    st.floats(-1e200, 1e200),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e-6, 1.0, 0.3, 1e6]),
)
def test_no_update_exceeds_the_sensitivity(
    before: float, after: float, score: float, clip: float
) -> None:
    study = PARTICIPANTS
    start = [np.full(shape, before) for shape in parameter_shapes(study)]
    end = [np.full(shape, after) for shape in parameter_shapes(study)]
    end[0][0, 0] = 3.0
    vector = clipped_update(study, start, end, score, clip)
    assert exact_norm(vector[:-1]) <= Fraction(clip) ** 2
    assert exact_norm(vector) <= Fraction(sensitivity(study, clip)) ** 2


PARTICIPANTS = private_study("LogisticRegression", kind="participants")


def test_updates_average_and_scores_too() -> None:
    start = initial_parameters(PARTICIPANTS)
    ends = [at_random(PARTICIPANTS, 0.1, seed) for seed in (1, 2)]
    scores = (0.5, 0.9)
    total = sum(
        clipped_update(PARTICIPANTS, start, end, score, LARGE)
        for end, score in zip(ends, scores, strict=True)
    )
    change, score = read_noisy_updates(PARTICIPANTS, total, LARGE, 2)
    for got, one, other in zip(change, *ends, strict=True):
        np.testing.assert_allclose(got, (one + other) / 2, rtol=1e-9)
    assert score == pytest.approx(0.7)
    assert extras(PARTICIPANTS) == ("score",)
