"""The serving process killed in the middle of an upload, an activation, a revocation."""

from __future__ import annotations

import pytest

from bench.server_crash import measure_server_crashes

pytestmark = pytest.mark.slow


def test_nothing_is_lost_wherever_the_server_is_killed(tmp_path):
    """Every fourth point; `make bench ONLY=keys` tries them all."""
    points = measure_server_crashes(tmp_path, every=4)
    assert points.failures == ()
    assert points.kept == points.tried
    assert points.tried >= 15
