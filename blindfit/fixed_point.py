"""Real numbers as whole ones that can be added modulo 2^64 without overflow.

A number x becomes round(x * 2^f). Of ``addends`` numbers of at most ``bound`` each, the sum stays
below 2^63, so that it can be read back; it is off by at most ``addends`` * 2^-(f+1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import StudyError

_SUM_BITS = 62  # one less than fits, for the rounding
_MOST_FRACTION_BITS = 32
_LEAST_FRACTION_BITS = 8


@dataclass(frozen=True)
class FixedPoint:
    """``fraction_bits`` is f; numbers beyond ``bound`` cannot be encoded."""

    fraction_bits: int
    bound: float
    addends: int

    @classmethod
    def for_sums(cls, addends: int, bound: float) -> FixedPoint:
        """The finest encoding for sums of ``addends`` numbers of at most ``bound``.

        Raises `StudyError` where that is not fine enough to train with.
        """
        free = _SUM_BITS - math.ceil(math.log2(addends)) - math.ceil(math.log2(bound))
        if free < _LEAST_FRACTION_BITS:
            raise StudyError(
                f"a sum over {addends} participants of numbers up to {bound:.3g} leaves {free} "
                f"bits for fractions; {_LEAST_FRACTION_BITS} are needed",
                hint="set privacy.max_rows to the most rows that one participant really has",
            )
        return cls(min(free, _MOST_FRACTION_BITS), bound, addends)

    @property
    def error(self) -> float:
        """How far a decoded sum may be from the sum of the numbers."""
        return float(self.addends) * 2.0 ** -(self.fraction_bits + 1)

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.uint64]:
        """Words (n,) of ``values`` (n,); raises ValueError for a number that is not in bounds."""
        if not (np.abs(values) <= self.bound).all():  # also false for a NaN
            raise ValueError(f"a number is not within {self.bound:g}")
        whole: NDArray[np.int64] = np.rint(values * 2.0**self.fraction_bits).astype(np.int64)
        return whole.astype(np.uint64)

    def decode(self, words: NDArray[np.uint64]) -> NDArray[np.float64]:
        """The numbers (n,) of a sum (n,)."""
        return words.astype(np.int64).astype(np.float64) * 2.0**-self.fraction_bits


__all__ = ["FixedPoint"]
