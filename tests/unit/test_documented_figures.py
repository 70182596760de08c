"""Figures in the documentation that follow from the code: computed once more, and compared."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from blindfit.accounting import epsilon_of, rho_of
from blindfit.averaging import MAX_PARAMETER
from blindfit.fixed_point import FixedPoint
from blindfit.secagg.group import default_threshold
from blindfit.secagg.topology import sparse_degree

DOCS = Path(__file__).parents[2] / "docs"
PRIVACY = " ".join((DOCS / "privacy.md").read_text().split())
SUMS = " ".join((DOCS / "secure-aggregation.md").read_text().split())
DELTA = 1e-5


def multiplier(epsilon: float, rounds: int) -> float:
    return math.sqrt(rounds / (2 * rho_of(epsilon, DELTA)))


def test_noise_multipliers():
    found = [multiplier(epsilon, 50) for epsilon in (0.5, 1, 2, 8)]
    assert [f"{z:.0f}" for z in found[:3]] == ["54", "29", "15"]
    assert f"{found[3]:.1f}" == "4.5"
    assert "z = 54 for epsilon = 0.5, 29 for 1, 15 for 2, and 4.5 for 8" in PRIVACY


@pytest.mark.parametrize(("share", "told"), [(0.5, "1.46"), (0.1, "3.6")])
def test_what_missing_noise_costs(share, told):
    epsilon = epsilon_of([rho_of(1.0, DELTA) / share], DELTA)
    assert f"{epsilon:.{len(told) - 2}f}" == told
    assert told in PRIVACY


@pytest.mark.parametrize(("size", "degree", "share"), [(1_000, 114, 78), (100_000, 160, 109)])
def test_neighbours_of_a_sparse_graph(size, degree, share):
    assert sparse_degree(size, default_threshold(size)) == (degree, share)
    told = f"{size:,} participants have {degree} neighbours each and s = {share}"
    short = f"{size:,} have {degree} and s = {share}"
    assert told in SUMS or short in SUMS


def test_room_for_participants():
    bound = 1_000_000 * MAX_PARAMETER
    assert FixedPoint.for_sums(16_384, bound).fraction_bits == 8
    with pytest.raises(Exception, match="leaves 7 bits"):
        FixedPoint.for_sums(16_385, bound)
    assert "room for 16,384 participants" in SUMS
