import numpy as np
import pytest

from server_app.calibration import boundary_and_random_rows, worst_case_rows


@pytest.mark.parametrize("seed", range(5))
def test_no_corner_exceeds_the_worst_case_rows(seed):
    generator = np.random.default_rng(seed)
    weights = generator.integers(-128, 128, size=(8, 3))
    zero_point = int(generator.integers(-60, 60))
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * 8)).reshape(8, -1).T

    def intermediates(rows):
        q = rows * 255 - 128
        sums = q.sum(axis=1, keepdims=True)
        return np.concatenate([q @ weights, zero_point * sums, q @ weights - zero_point * sums], 1)

    worst, every = (intermediates(rows) for rows in (worst_case_rows(weights, zero_point), corners))
    assert (worst.max(axis=0) == every.max(axis=0)).all()
    assert (worst.min(axis=0) == every.min(axis=0)).all()


def test_gate_rows_are_corners_and_inside_rows():
    rows = boundary_and_random_rows(width=5, count=8, seed=0)
    assert rows.shape == (8, 5)
    assert set(np.unique(rows[:4])) == {0.0, 1.0}
    assert ((rows[4:] > 0) & (rows[4:] < 1)).all()
