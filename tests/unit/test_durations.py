from __future__ import annotations

from datetime import timedelta

import pytest

from blindfit.durations import parse_duration
from blindfit.errors import InputError
from keys.destruction import after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("45m", timedelta(minutes=45)),
        ("90s", timedelta(seconds=90)),
        ("2w", timedelta(weeks=2)),
        (" 0d ", timedelta()),
    ],
)
def test_a_number_and_a_unit_are_a_duration(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1 d", "1D", "1y", "٣d", "1d1h"])
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="not a duration") as caught:
        parse_duration(text)
    assert "30d" in caught.value.hint


def test_a_time_beyond_the_calendar_is_refused():
    with pytest.raises(InputError, match="no date"):
        after(parse_duration("999999w"))
