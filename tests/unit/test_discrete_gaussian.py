"""The discrete Gaussian against its exact probabilities."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from blindfit.discrete_gaussian import LARGEST_VARIANCE, discrete_gaussian
from blindfit.errors import InputError
from blindfit.exact_coins import Coins, exp_bounds


def source(seed: int):
    return np.random.default_rng(seed).bytes


def probabilities(variance: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers and their probabilities, as Canonne, Kamath and Steinke define them."""
    z = np.arange(-12 * math.isqrt(variance) - 12, 12 * math.isqrt(variance) + 13)
    weights = np.exp(-(z.astype(float) ** 2) / (2 * variance))
    return z, weights / weights.sum()


@pytest.mark.parametrize("variance", [1, 2, 3, 9, 30])
def test_every_number_has_its_probability(variance: int) -> None:
    size = 60_000
    samples = discrete_gaussian(variance, size, source(variance))
    z, expected = probabilities(variance)
    common = expected * size > 20
    counts = np.array([np.count_nonzero(samples == number) for number in z[common]])
    rest = size - counts.sum()
    observed = np.append(counts, rest)
    wanted = np.append(expected[common], expected[~common].sum()) * size
    assert stats.chisquare(observed, wanted).pvalue > 1e-4


def test_the_chi_square_finds_a_rounded_gaussian() -> None:
    """The test above can fail: rounding a continuous Gaussian gives other probabilities."""
    rounded = np.rint(np.random.default_rng(0).normal(scale=1.0, size=60_000)).astype(int)
    z, expected = probabilities(1)
    inside = np.abs(z) <= 3
    counts = np.array([np.count_nonzero(rounded == number) for number in z[inside]])
    wanted = expected[inside] / expected[inside].sum() * counts.sum()
    assert stats.chisquare(counts, wanted).pvalue < 1e-6


@pytest.mark.parametrize("variance", [5, 1 << 20, (1 << 41) + 12345, 3 << 59, LARGEST_VARIANCE])
def test_moments_and_symmetry(variance: int) -> None:
    size = 40_000
    scaled = discrete_gaussian(variance, size, source(7)) / math.sqrt(variance)
    assert abs(scaled.mean()) < 5 / math.sqrt(size)
    assert abs(scaled.var() - 1) < 5 * math.sqrt(2 / size)
    assert abs((scaled**3).mean()) < 5 * math.sqrt(15 / size)
    assert abs((scaled**4).mean() - 3) < 5 * math.sqrt(96 / size)
    beyond = [np.count_nonzero(scaled > 2), np.count_nonzero(scaled < -2)]
    assert abs(beyond[0] - beyond[1]) < 5 * math.sqrt(sum(beyond))


@pytest.mark.parametrize("variance", [1 << 20, (1 << 41) + 12345])
def test_large_ones_are_distributed_as_a_gaussian(variance: int) -> None:
    samples = discrete_gaussian(variance, 20_000, source(3)) / math.sqrt(variance)
    assert stats.kstest(samples, "norm").pvalue > 1e-4


def test_low_bits_are_uniform() -> None:
    """Continuous samples that were scaled up would leave them empty."""
    samples = discrete_gaussian(1 << 60, 40_000, source(5))
    counts = np.bincount(samples & 0xFF, minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("variance", [1, 7, (1 << 30) + 12345])
def test_rational_arithmetic_decides_as_the_fast_way_does(variance: int) -> None:
    """With a margin of 1 nothing is left to float64."""
    fast = discrete_gaussian(variance, 400, source(11))
    exact = discrete_gaussian(variance, 400, source(11), margin=1.0)
    np.testing.assert_array_equal(fast, exact)


def test_a_coin_that_64_bits_do_not_decide_takes_more() -> None:
    """The word is the first 64 bits of exp(-1); which side is right is seen further on."""
    e = exp_bounds(Fraction(1), 200)[0]
    first, rest = divmod(math.floor(e * 2**192), 2**128)
    second, third = divmod(rest, 2**64)

    def fixed(*words: int):
        remaining = list(words)
        return lambda count: b"".join(
            remaining.pop(0).to_bytes(8, "little") for _ in range(count // 8)
        )

    for words, falls in [
        ((first, second - 1), True),
        ((first, second + 1), False),
        ((first, second, third - 1), True),
        ((first, second, third + 1), False),
        ((first - 1,), True),
        ((first + 1,), False),
    ]:
        coins = Coins(fixed(*words))
        assert coins.fall(np.ones(1), lambda _: Fraction(1)).tolist() == [falls], words


def test_the_approximation_is_far_better_than_the_margin() -> None:
    rng = np.random.default_rng(0)
    exponents = np.concatenate([rng.random(300), 50 * rng.random(300), [0.0, 1.0]])
    approximate = np.exp(-exponents)
    for exponent, value in zip(exponents.tolist(), approximate.tolist(), strict=True):
        low, high = exp_bounds(Fraction(exponent), 80)
        assert low <= high <= low + Fraction(1, 2**79)
        assert abs(Fraction(value) - low) < Fraction(1, 2**50)


def test_a_certain_coin_always_falls() -> None:
    assert Coins(source(1)).fall(np.zeros(1000), lambda _: Fraction(0)).all()
    assert Coins(source(1), margin=1.0).fall(np.zeros(1000), lambda _: Fraction(0)).all()


def test_the_same_bytes_give_the_same_samples_and_others_others() -> None:
    one, same, other = (discrete_gaussian(1 << 40, 50, source(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert (discrete_gaussian(1 << 40, 50) != discrete_gaussian(1 << 40, 50)).any()


def test_none_are_asked_for() -> None:
    assert discrete_gaussian(9, 0).shape == (0,)


@pytest.mark.parametrize("variance", [0, -1, LARGEST_VARIANCE + 1])
def test_a_variance_that_is_not_sampled_is_refused(variance: int) -> None:
    with pytest.raises(InputError, match="variance"):
        discrete_gaussian(variance, 10)


def test_a_rounds_noise_takes_a_fraction_of_a_second() -> None:
    started = time.perf_counter()
    assert len(discrete_gaussian(1 << 60, 20_000)) == 20_000
    assert time.perf_counter() - started < 1.0
