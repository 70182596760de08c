"""Exact samples of the discrete Gaussian, as arrays.

N_Z(0, s²) gives each whole number z the probability exp(-z²/2s²) / sum (Canonne, Kamath and Steinke
2020, The Discrete Gaussian for Differential Privacy, definition 1). Floating-point samples of a
continuous Gaussian break the privacy that is proved for real numbers (Mironov 2012, On Significance
of the Least Significant Bits for Differential Privacy). These are drawn by algorithms 2 and 3 of
Canonne, Kamath and Steinke, for whole arrays at once:

1. a discrete Laplace X of scale t: X = ±(U + t·V), U uniform in [0, t) and kept with probability
   exp(-U/t), V geometric of ratio exp(-1), and -0 rejected;
2. X kept with probability exp(-(|X| - s²/t)² / 2s²).

Any t >= 1 gives the same distribution; ours is the power of two next to s, so that U is uniform
without rejection. What remains are coins of probability exp(-g) with g rational, and `Coins` are
exact. So are the samples: there is no statistical distance to add to delta.

The time that samples take depends on them; it is not hidden.
"""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import InputError
from blindfit.exact_coins import MARGIN, Coins, RandomBytes

Integers = NDArray[np.int64]

LARGEST_VARIANCE = 1 << 80  # a sample beyond 2^53 then has a probability below exp(-2^25)
_CANDIDATES = 2.5  # for each sample: at least two of five are kept


def discrete_gaussian(
    variance: int, size: int, random_bytes: RandomBytes = os.urandom, *, margin: float = MARGIN
) -> Integers:
    """``size`` independent samples of N_Z(0, ``variance``).

    ``random_bytes(n)`` gives n uniform bytes, of a quality fit for keys; ``margin`` is that of
    `Coins`. Raises `InputError` unless 1 <= variance <= 2^80.
    """
    if not 1 <= variance <= LARGEST_VARIANCE:
        raise InputError(f"a variance of {variance}; from 1 to 2^80 is sampled")
    coins = Coins(random_bytes, margin)
    shift = variance.bit_length() // 2  # t = 2^shift is within sqrt(2) of s
    kept, missing = [np.zeros(0, np.int64)], size
    while missing > 0:
        candidates = _discrete_laplace(shift, int(_CANDIDATES * missing) + 16, coins)
        accepted = candidates[_accepted(candidates, variance, shift, coins)][:missing]
        kept.append(accepted)
        missing -= len(accepted)
    return np.concatenate(kept)


def _discrete_laplace(shift: int, attempts: int, coins: Coins) -> Integers:
    """Those of ``attempts`` that end in a sample of the discrete Laplace of scale 2^``shift``."""
    words = coins.words(attempts)
    # The lowest bit is the sign; those above it that t needs are U.
    uniform = ((words >> np.uint64(1)) & np.uint64((1 << shift) - 1)).astype(np.int64)
    negative = (words & np.uint64(1)).astype(np.bool_)
    keep = coins.fall(uniform * 2.0**-shift, lambda i: Fraction(int(uniform[i]), 1 << shift))
    uniform, negative = uniform[keep], negative[keep]
    magnitude = uniform + (_geometric(len(uniform), coins) << shift)
    zero_twice = negative & (magnitude == 0)
    return np.asarray(np.where(negative, -magnitude, magnitude)[~zero_twice])


def _geometric(size: int, coins: Coins) -> Integers:
    """How many coins of probability exp(-1) fall before one does not."""
    falls, active = np.zeros(size, np.int64), np.arange(size)
    while len(active):
        active = active[coins.fall(np.ones(len(active)), lambda _: Fraction(1))]
        falls[active] += 1
    return falls


def _accepted(x: Integers, variance: int, shift: int, coins: Coins) -> NDArray[np.bool_]:
    """Step 2. As float64, |x| and powers of two are exact and s²/t < sqrt(2)·s is good to 2^-53,
    so the exponent d²/2s² has a relative error of a few 2^-53 and one of 2^-53·2d/s: what `Coins`
    allows.
    """
    distance = np.abs(x) - float(variance) * 2.0**-shift

    def exactly(index: int) -> Fraction:
        from_peak = abs(int(x[index])) - Fraction(variance, 1 << shift)
        return from_peak**2 / (2 * variance)

    return coins.fall(distance**2 / (2.0 * float(variance)), exactly)


__all__ = ["LARGEST_VARIANCE", "discrete_gaussian"]
