"""Many coins at once that fall with probability exp(-g) exactly, for rational g >= 0.

A coin is a uniform real u in [0, 1), of which 64 bits are drawn, and it falls if u < exp(-g). For
nearly all coins a float64 approximation of exp(-g) decides: whenever u is further from it than
``margin``, which is a thousand times more than the approximation can be wrong. The few others are
decided by bounds on exp(-g) in rational arithmetic, with more bits of u when 64 do not suffice. So
the probability is exact, and not only to the precision of a float64.

How wrong the approximation can be, with E = 2^-53 and exp() taken to be good to 4 E: the caller's g
may have a relative error of 8 E or an absolute one of 4 E max(1, sqrt(g)), which moves exp(-g) by
at most 8 E g exp(-g) + 4 E max(1, sqrt(g)) exp(-g) < 8 E. Together with the rounding of u to 53
bits, by E, that is below 16 E = 2^-49, and the margin is 2^-40.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
RandomBytes = Callable[[int], bytes]

MARGIN = 2.0**-40
_WORD_BITS = 64


class Coins:
    """Coins from a source of uniform bytes: the operating system's, or a test's.

    A larger ``margin`` decides more coins in rational arithmetic: it takes longer and changes no
    result.
    """

    def __init__(self, random_bytes: RandomBytes = os.urandom, margin: float = MARGIN):
        self._random_bytes = random_bytes
        self._margin = margin

    def words(self, count: int) -> Words:
        """``count`` independent uniform words of 64 bits."""
        return np.frombuffer(self._random_bytes(8 * count), np.uint64)

    def fall(self, approximate: Floats, exactly: Callable[[int], Fraction]) -> NDArray[np.bool_]:
        """Whether each coin falls, with probability exp(-exactly(index)).

        ``approximate`` (n,) are these exponents as float64, as good as the module says.
        """
        words = self.words(len(approximate))
        uniform = (words >> np.uint64(11)) * 2.0**-53  # exact, and below u by less than 2^-53
        distance = uniform - np.exp(-approximate)
        fallen: NDArray[np.bool_] = distance < 0
        for index in np.flatnonzero(np.abs(distance) <= self._margin).tolist():
            fallen[index] = self._compare(int(words[index]), exactly(index))
        return fallen

    def _compare(self, word: int, exponent: Fraction) -> bool:
        bits = _WORD_BITS
        while True:
            low, high = exp_bounds(exponent, bits + 8)
            if Fraction(word + 1, 1 << bits) <= low:
                return True
            if Fraction(word, 1 << bits) >= high:
                return False
            # exp(-g) is irrational unless g = 0, where both bounds are 1: this comes to an end.
            word = (word << _WORD_BITS) | int(self.words(1)[0])
            bits += _WORD_BITS


def exp_bounds(exponent: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """Bounds below and above exp(-exponent) that are about 2^-bits apart; exponent >= 0."""
    parts = math.floor(exponent) + 1
    rest = exponent / parts  # in [0, 1), so that the terms of the series only get smaller
    one = 1 << (bits + parts.bit_length())  # each of the factors adds its own error
    total, term, number = Fraction(1), Fraction(1), 0
    while term * one > 1:
        number += 1
        term *= rest / number
        total += -term if number % 2 else term
    # The series alternates: the limit is between a partial sum and the next, one term away.
    low, high = sorted((total, total + (term if number % 2 else -term)))
    factors = Fraction(math.floor(low * one), one), Fraction(math.ceil(high * one), one)
    return factors[0] ** parts, factors[1] ** parts


__all__ = ["MARGIN", "Coins", "RandomBytes", "exp_bounds"]
