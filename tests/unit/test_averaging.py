"""What a participant adds to a round: rows, metrics and parameters in one vector of words."""

from __future__ import annotations

import numpy as np
import pytest

from blindfit.averaging import MAX_PARAMETER, Averaging
from blindfit.errors import TrainingError
from blindfit.metrics import Metrics


@pytest.fixture
def averaging(study):
    return Averaging(study, 3)


def update(averaging, value, rows, correct=1):
    shape = (1, averaging.study.schema_.width)
    return averaging.encode(
        Metrics(rows, 2.0 * rows, correct), [np.full(shape, value), np.full(1, value)]
    )


def test_the_mean_is_weighted_by_rows(averaging):
    total = update(averaging, 1.0, 300, 200) + update(averaging, 5.0, 100, 50)
    metrics, parameters = averaging.decode(total)
    assert parameters is not None
    for array in parameters:
        np.testing.assert_allclose(array, np.full(array.shape, 2.0), atol=1e-9)
    assert (metrics.rows, metrics.correct) == (400, 250)
    assert metrics.mean_loss() == pytest.approx(2.0)


def test_an_evaluation_has_metrics_alone(averaging):
    words = averaging.encode(Metrics(10, 5.0, 7))
    assert len(words) == averaging.metrics_length
    metrics, parameters = averaging.decode(words)
    assert parameters is None
    assert (metrics.rows, metrics.correct) == (10, 7)


@pytest.mark.parametrize("value", [2 * MAX_PARAMETER, -2 * MAX_PARAMETER, np.nan, np.inf])
def test_parameters_that_a_sum_has_no_room_for_are_not_sent(averaging, value):
    with pytest.raises(TrainingError, match="parameters beyond"):
        update(averaging, value, 10)


def test_more_rows_than_agreed_are_not_sent(averaging):
    with pytest.raises(TrainingError, match="the study has room for 1000000"):
        update(averaging, 1.0, 1_000_001)


@pytest.mark.parametrize("loss", [np.nan, np.inf, 1e300])
def test_a_loss_off_the_scale_spoils_nothing_else(averaging, loss):
    words = averaging.encode(Metrics(10, loss, 7)) + averaging.encode(Metrics(10, 1.0, 7))
    metrics, _ = averaging.decode(words)
    assert metrics.correct == 14
    assert metrics.mean_loss() > 1e5


def test_a_sum_that_nobody_can_have_is_refused(averaging):
    for rows in (0.0, -5.0, 0.5, 4e6):
        words = averaging.codec.encode(np.zeros(averaging.length))
        words[0] = np.uint64(np.int64(rows * 2**averaging.codec.fraction_bits))
        with pytest.raises(TrainingError, match="rows add up to"):
            averaging.decode(words)
