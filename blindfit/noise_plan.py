"""How much noise a study's participants add, on which grid, and what it guarantees.

Participants send sums of whole numbers modulo 2^64. A vector is multiplied by a power of two,
``scale``, and rounded to the nearest whole numbers; each participant adds its share of the noise,
N_Z(0, share_variance) on every coordinate, and ``honest`` shares are enough.

**Sensitivity.** A neighbour moves one participant's vector by at most S = `sensitivity` in L2 norm,
and so the scaled one by scale·S. The vector was rounded to float64 (by at most 2^-53 of its largest
coordinate, L) and then to whole numbers (by at most 1/2), on either side of the difference. In d
dimensions the whole numbers differ by at most, in L2 norm,

    D = scale·S + sqrt(d)·(1 + 2^-52·L·scale).

**Noise.** With variance v in each of m honest shares, a round satisfies rho-zCDP with

    rho = (D / sqrt(m v) + sqrt(d)·tau)² / 2,    tau = 10 · sum_{k=1}^{m-1} exp(-2 pi² v k/(k+1))

(Kairouz, Liu and Steinke 2021, The Distributed Discrete Gaussian Mechanism for Federated Learning
with Secure Aggregation, proposition 14: the sum of discrete Gaussians is not one, but within tau of
it in max divergence; for m = 1, tau is 0 and it is theorem 4 of Canonne, Kamath and Steinke 2020 on
each coordinate). Further shares and the reduction modulo 2^64 only process what is private already.
Rounds compose (`blindfit.accounting`).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blindfit.accounting import epsilon_of, rho_of
from blindfit.discrete_gaussian import LARGEST_VARIANCE, discrete_gaussian
from blindfit.errors import StudyError, UpdateError
from blindfit.exact_coins import RandomBytes
from blindfit.privacy import Guarantee
from blindfit.study import Study
from blindfit.sum_layout import dimension, sensitivity

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_PARTICIPANTS = 100_000
SUM_BOUND = 1 << 62  # a word of the sum is below it, as an int64 has to be below 2^63
_WANTED_ROUNDING = 2.0**-13  # of the sensitivity; more than this gains nothing
_MOST_ROUNDING = 1e-3
_SMALLEST_SHARE = 1 << 20  # the least variance of a share: tau is then below exp(-10^7)
_TAIL = 64.0  # deviations; a discrete Gaussian is beyond them with probability below exp(-2000)
_UPWARDS = 1.0 + 1e-12  # more than float64 loses in these formulas


@dataclass(frozen=True)
class NoisePlan:
    """The noise of a study, and what it amounts to.

    ``sigma`` is the standard deviation of a coordinate of the sum when only the honest shares are
    in it, ``sigma_share`` that of one participant's share, both in the vector's units;
    ``noise_multiplier`` is sigma / `sensitivity`. ``share_variance`` is that of a share in grid
    units. ``rho_per_round`` (zCDP) is what a participant spends each time it reveals a sum;
    ``epsilon_spent`` at ``delta`` is what ``rounds`` of them amount to.
    """

    noise_multiplier: float
    sigma: float
    sigma_share: float
    scale: float
    share_variance: int
    dimension: int
    rounds: int
    rho_per_round: float
    epsilon_spent: float
    delta: float

    @property
    def rho_limit(self) -> float:
        """What all rounds together may spend (zCDP)."""
        return self.rounds * self.rho_per_round

    def to_grid(self, vector: Floats) -> Integers:
        """``vector`` (dimension,) in whole numbers; raises `UpdateError` if it does not fit."""
        scaled = np.rint(vector * self.scale)
        if vector.shape != (self.dimension,) or not (np.abs(scaled) < SUM_BOUND).all():
            raise UpdateError("the sum is not one that the study's noise was planned for")
        return np.asarray(scaled, np.int64)

    def share(self, random_bytes: RandomBytes = os.urandom) -> Integers:
        """One participant's noise (dimension,), in grid units: a secret, drawn for one sum only."""
        return discrete_gaussian(self.share_variance, self.dimension, random_bytes)

    def from_grid(self, words: Integers) -> Floats:
        """A sum of whole numbers (dimension,) in the vector's units."""
        return words / self.scale


def plan(
    study: Study, *, participants: int = MOST_PARTICIPANTS, bound: int = SUM_BOUND
) -> NoisePlan:
    """The noise for the guarantee in the study's ``[privacy]``; the same for everybody who asks.

    No word of a sum over ``participants`` reaches ``bound``. Raises `StudyError` for a study
    without a guarantee, and for one whose numbers do not fit on any grid.
    """
    guarantee = study.privacy.guarantee
    if guarantee is None:
        raise StudyError("[privacy] gives no guarantee: write privacy.records or .participants")
    vector, rounds = _Vector.of(study, guarantee), study.federation.rounds
    # zCDP of the Gaussian mechanism: rho = 1 / (2 multiplier²).
    multiplier = math.sqrt(rounds / (2 * rho_of(guarantee.epsilon, guarantee.delta)))
    scale = vector.scale(multiplier, guarantee.honest, participants, bound)
    variance = vector.share_variance(scale, multiplier, guarantee.honest)
    rho = _rho(vector, scale, variance, guarantee.honest)
    sigma = math.sqrt(variance * guarantee.honest) / scale
    return NoisePlan(
        noise_multiplier=sigma / vector.sensitivity,
        sigma=sigma,
        sigma_share=math.sqrt(variance) / scale,
        scale=scale,
        share_variance=variance,
        dimension=vector.dimension,
        rounds=rounds,
        rho_per_round=rho,
        epsilon_spent=epsilon_of([rho] * rounds, guarantee.delta),
        delta=guarantee.delta,
    )


@dataclass(frozen=True)
class _Vector:
    """d, S and L of the module's formulas."""

    dimension: int
    sensitivity: float
    largest: float

    @classmethod
    def of(cls, study: Study, guarantee: Guarantee) -> _Vector:
        neighbours = study.privacy.max_rows if study.privacy.records is not None else 1
        moved = sensitivity(study, guarantee.clip)
        return cls(dimension(study), moved, neighbours * guarantee.clip)

    def moved_on_grid(self, scale: float) -> float:
        """D of the module's formulas."""
        rounding = 1.0 + 2.0**-52 * self.largest * scale
        return scale * self.sensitivity + math.sqrt(self.dimension) * rounding

    def share_variance(self, scale: float, multiplier: float, honest: int) -> int:
        """That of a share, rounded up."""
        exact = (multiplier * self.moved_on_grid(scale)) ** 2 / honest
        return math.ceil(exact * _UPWARDS**2)

    def scale(self, multiplier: float, honest: int, participants: int, bound: int) -> float:
        """The smallest power of two whose rounding costs next to nothing, or the largest that fits.

        Raises `StudyError` if what fits is too coarse.
        """
        by_rounding = math.sqrt(self.dimension) / (_WANTED_ROUNDING * self.sensitivity)
        by_share = math.sqrt(_SMALLEST_SHARE * honest) / (multiplier * self.sensitivity)
        exponent = math.ceil(math.log2(max(by_rounding, by_share)))
        while self._is_fine(2.0**exponent, multiplier, honest):
            variance = self.share_variance(2.0**exponent, multiplier, honest)
            word = self.largest * 2.0**exponent + _TAIL * math.sqrt(variance)
            if participants * word < bound and variance <= LARGEST_VARIANCE:
                return 2.0**exponent
            exponent -= 1
        raise StudyError(
            f"sums over {participants} participants with {self.largest:g} as the largest number do "
            "not fit into 64 bits with the precision that the noise needs",
            hint="lower privacy.max_rows, or raise privacy's epsilon",
        )

    def _is_fine(self, scale: float, multiplier: float, honest: int) -> bool:
        rounding = self.moved_on_grid(scale) / (scale * self.sensitivity) - 1
        share = self.share_variance(scale, multiplier, honest)
        return rounding < _MOST_ROUNDING and share >= _SMALLEST_SHARE


def _rho(vector: _Vector, scale: float, variance: int, honest: int) -> float:
    """rho of the module's formulas, rounded up."""
    moved = vector.moved_on_grid(scale) / math.sqrt(honest * variance)
    # k/(k+1) >= 1/2. With variances as large as ours this is 0 in float64: `_UPWARDS` covers it.
    tau = 10 * (honest - 1) * math.exp(-(math.pi**2) * variance)
    return (moved + math.sqrt(vector.dimension) * tau) ** 2 / 2 * _UPWARDS


__all__ = ["MOST_PARTICIPANTS", "NoisePlan", "plan"]
