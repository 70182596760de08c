"""Numbers as words: no overflow, a stated error, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindfit.errors import StudyError
from blindfit.fixed_point import FixedPoint


@given(
    st.integers(1, 1000),
    st.floats(1.0, 1e9),
    st.lists(st.floats(-1, 1), min_size=1, max_size=20),
)
def test_a_sum_is_off_by_no_more_than_is_stated(addends, bound, shares):
    codec = FixedPoint.for_sums(addends, bound)
    values = np.array(shares) * bound
    words = codec.encode(values)
    total = np.zeros(len(values), np.uint64)
    for _ in range(addends):
        total += words
    rounding = abs(addends * bound) * 2.0**-52  # of the float that the sum is compared with
    assert np.abs(codec.decode(total) - addends * values).max() <= codec.error + rounding


def test_the_worst_case_does_not_overflow():
    codec = FixedPoint.for_sums(1000, 1e9)
    for sign in (-1.0, 1.0):
        words = codec.encode(np.array([sign * 1e9]))
        total = np.array([(int(words[0]) * 1000) % (1 << 64)], np.uint64)
        assert codec.decode(total)[0] == pytest.approx(sign * 1e12)


@pytest.mark.parametrize("value", [1.01e6, -1.01e6, np.nan, np.inf])
def test_what_is_out_of_bounds_is_not_encoded(value):
    with pytest.raises(ValueError, match="not within 1e\\+06"):
        FixedPoint.for_sums(3, 1e6).encode(np.array([0.0, value]))


def test_sums_without_room_for_fractions_are_refused_before_any_round():
    with pytest.raises(StudyError, match="leaves 2 bits"):
        FixedPoint.for_sums(1 << 10, 2.0**50)
