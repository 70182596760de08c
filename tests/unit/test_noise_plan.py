"""What the noise amounts to, computed once more from first principles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fixtures_privacy import private_study
from scipy import optimize, stats

from blindfit.accounting import epsilon_of, rho_of
from blindfit.errors import StudyError, UpdateError
from blindfit.noise_plan import SUM_BOUND, plan
from blindfit.study import Study
from blindfit.sum_layout import dimension, sensitivity

PAIRS = [
    (epsilon, delta)
    for epsilon in (0.05, 0.3, 1.0, 4.0, 8.0, 30.0, 100.0)
    for delta in (1e-3, 1e-5, 1e-9)
]


def epsilon_from_first_principles(rho: float, delta: float) -> float:
    """Canonne, Kamath and Steinke 2020, proposition 12, for a Rényi divergence of alpha·rho.

    epsilon = inf over alpha > 1 of  alpha·rho + log(1/(alpha·delta))/(alpha-1) + log(1-1/alpha).
    """

    def at(log_more_than_one: float) -> float:
        alpha = 1 + math.exp(log_more_than_one)
        tail = -math.log(alpha * delta) / (alpha - 1)
        return alpha * rho + tail + math.log1p(-1 / alpha)

    points = np.linspace(-5, 15, 2001)
    best = points[np.argmin([at(point) for point in points])]
    found = optimize.minimize_scalar(at, bounds=(best - 0.02, best + 0.02), method="bounded")
    return float(max(0.0, found.fun))


def delta_of_gaussian(epsilon: float, rho: float) -> float:
    """Balle and Wang 2018, theorem 8: the exact curve of a Gaussian of the same zCDP."""
    mu = math.sqrt(2 * rho)
    tail = stats.norm.logcdf(-epsilon / mu - mu / 2)
    return float(stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + tail))


@pytest.mark.parametrize(("epsilon", "delta"), PAIRS)
def test_epsilon_agrees_with_first_principles(epsilon: float, delta: float) -> None:
    rho = rho_of(epsilon, delta)
    got = epsilon_of([rho], delta)
    assert got <= epsilon
    assert got == pytest.approx(epsilon, rel=1e-6)
    assert got == pytest.approx(epsilon_from_first_principles(rho, delta), rel=1e-5)
    assert got >= epsilon_from_first_principles(rho, delta) * (1 - 1e-12)


@pytest.mark.parametrize(("epsilon", "delta"), PAIRS)
def test_epsilon_is_never_below_what_a_gaussian_really_loses(epsilon: float, delta: float) -> None:
    rho = rho_of(epsilon, delta)
    assert delta_of_gaussian(epsilon, rho) <= delta
    # ... and not far above it: zCDP is not loose by more than a third.
    assert delta_of_gaussian(epsilon * 0.6, rho) > delta


def test_rounds_add_up() -> None:
    assert epsilon_of([], 1e-5) == 0
    assert epsilon_of([0.01] * 5, 1e-5) == pytest.approx(epsilon_of([0.05], 1e-5))
    assert epsilon_of([0.01, 0.03], 1e-5) > epsilon_of([0.03], 1e-5)


STUDIES: list[dict[str, Any]] = [
    {"name": "LogisticRegression"},
    {"name": "LogisticRegression", "width": 784, "classes": 10, "rounds": 50, "honest": 10},
    {"name": "PoissonRegressor", "epsilon": 100.0, "rounds": 1, "delta": 1e-3},
    {"name": "Ridge", "clip": 1e-6, "epsilon": 0.05},
    {"name": "Ridge", "clip": 1e6, "honest": 1000, "max_rows": 1000},
    {"name": "LinearSVC", "kind": "participants", "honest": 100, "clip": 0.1},
    {"name": "LogisticRegression", "width": 20_000, "classes": 10, "honest": 1},
]


def study_of(case: dict[str, Any]) -> Study:
    options = dict(case)
    return private_study(options.pop("name"), **options)


@pytest.mark.parametrize("case", STUDIES)
def test_a_plan_keeps_its_guarantee(case: dict[str, Any]) -> None:
    """rho again, from the numbers that participants act on."""
    study = study_of(case)
    guarantee = study.privacy.guarantee
    assert guarantee is not None
    planned = plan(study, participants=1000)
    neighbours = study.privacy.max_rows if study.privacy.records else 1
    # Rounded twice, on both sides: to float64 and to whole numbers.
    rounded = 2 * (0.5 + neighbours * guarantee.clip * planned.scale * 2.0**-53)
    moved = planned.scale * sensitivity(study, guarantee.clip)
    moved += math.sqrt(planned.dimension) * rounded
    rho = moved**2 / (2 * guarantee.honest * planned.share_variance)

    assert planned.rho_per_round >= rho
    assert planned.rho_per_round == pytest.approx(rho, rel=1e-9)
    spent = epsilon_from_first_principles(planned.rounds * rho, guarantee.delta)
    assert spent <= planned.epsilon_spent <= guarantee.epsilon
    assert planned.epsilon_spent == pytest.approx(guarantee.epsilon, rel=1e-3)
    assert planned.rho_limit == pytest.approx(planned.rounds * rho)


@pytest.mark.parametrize("case", STUDIES)
def test_a_plans_numbers_fit_together(case: dict[str, Any]) -> None:
    study = study_of(case)
    guarantee = study.privacy.guarantee
    assert guarantee is not None
    planned = plan(study, participants=1000)
    assert planned.dimension == dimension(study)
    assert math.log2(planned.scale).is_integer()
    share = math.sqrt(planned.share_variance) / planned.scale
    assert planned.sigma_share == pytest.approx(share)
    assert planned.sigma == pytest.approx(math.sqrt(guarantee.honest) * share)
    moved = sensitivity(study, guarantee.clip)
    assert planned.noise_multiplier == pytest.approx(planned.sigma / moved)
    # What the grid costs: the noise of real numbers is smaller by less than a thousandth.
    ideal = math.sqrt(planned.rounds / (2 * rho_of(guarantee.epsilon, guarantee.delta)))
    assert ideal <= planned.noise_multiplier < ideal * 1.001
    # tau of Kairouz, Liu and Steinke, whose first term is the largest but for a factor of m.
    assert planned.share_variance > 1 << 19
    assert math.exp(-(math.pi**2) * planned.share_variance) == 0.0
    neighbours = study.privacy.max_rows if study.privacy.records else 1
    word = neighbours * guarantee.clip * planned.scale + 64 * math.sqrt(planned.share_variance)
    assert 1000 * word < SUM_BOUND


def test_more_rounds_or_less_epsilon_mean_more_noise() -> None:
    base = plan(private_study("Ridge"))
    assert plan(private_study("Ridge", rounds=80)).sigma == pytest.approx(2 * base.sigma, rel=1e-3)
    assert plan(private_study("Ridge", epsilon=0.5)).sigma > 1.8 * base.sigma
    assert plan(private_study("Ridge", clip=3.0)).sigma == pytest.approx(3 * base.sigma, rel=1e-3)
    alone = plan(private_study("Ridge", honest=1))
    assert alone.sigma == pytest.approx(base.sigma, rel=1e-3)
    assert alone.sigma_share == pytest.approx(math.sqrt(3) * base.sigma_share, rel=1e-3)


def test_shares_add_up_to_the_noise_of_the_plan() -> None:
    planned = plan(private_study("LogisticRegression", width=500))
    rng = np.random.default_rng(0)
    total = sum(planned.share(rng.bytes) for _ in range(3))
    noise = planned.from_grid(total)
    assert noise.shape == (planned.dimension,)
    assert noise.std() == pytest.approx(planned.sigma, rel=5 / math.sqrt(2 * len(noise)))


def test_vectors_come_back_from_the_grid() -> None:
    planned = plan(private_study("Ridge"))
    vector = np.linspace(-900.0, 1e6, planned.dimension)
    words = planned.to_grid(vector)
    assert words.dtype == np.int64
    np.testing.assert_allclose(planned.from_grid(words), vector, atol=0.5 / planned.scale)
    with pytest.raises(UpdateError, match="not one that"):
        planned.to_grid(np.full(planned.dimension, 2.0**62))
    with pytest.raises(UpdateError, match="not one that"):
        planned.to_grid(np.full(planned.dimension, np.nan))
    with pytest.raises(UpdateError, match="not one that"):
        planned.to_grid(np.zeros(planned.dimension + 1))


def test_the_plan_is_the_same_for_everybody() -> None:
    study = private_study("Ridge")
    again = Study.model_validate_json(study.model_dump_json(by_alias=True))
    assert plan(study) == plan(again)


def test_a_study_without_a_guarantee_has_no_plan() -> None:
    document = private_study("Ridge").model_dump(by_alias=True)
    document["privacy"] = {}
    with pytest.raises(StudyError, match="gives no guarantee"):
        plan(Study.model_validate(document))


def test_numbers_that_do_not_fit_are_refused() -> None:
    study = private_study("LogisticRegression", width=20_000, max_rows=1_000_000_000)
    with pytest.raises(StudyError, match="do not fit into 64 bits") as caught:
        plan(study)
    assert "max_rows" in caught.value.hint
    assert plan(study, participants=10).epsilon_spent <= 1.0
    with pytest.raises(StudyError, match="do not fit"):
        plan(private_study("Ridge"), bound=1 << 30)
