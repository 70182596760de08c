"""What the coordinator does with updates."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from blindfit.errors import TrainingError, UpdateError
from blindfit.federation_messages import _npy_header, read_reply, write_reply
from blindfit.metrics import Metrics
from server_app.aggregation import Update, average, check_update, total

SHAPES = [(3, 4), (3,)]


def update(value: float, rows: int) -> Update:
    return Update([np.full((3, 4), value), np.full(3, value)], Metrics(rows, 2.0 * rows, rows // 2))


def test_the_average_is_weighted_by_rows() -> None:
    coefficients, intercept = average([update(1.0, 300), update(5.0, 100)])
    np.testing.assert_allclose(coefficients, np.full((3, 4), 2.0))
    np.testing.assert_allclose(intercept, np.full(3, 2.0))


def test_no_update_is_an_error_and_not_an_empty_model() -> None:
    with pytest.raises(TrainingError, match="no update"):
        average([])


def test_the_average_of_large_numbers_does_not_overflow() -> None:
    coefficients, _ = average([update(1.7e308, 300), update(1.7e308, 100)])
    np.testing.assert_allclose(coefficients, np.full((3, 4), 1.7e308))


def test_an_average_that_is_not_finite_is_an_error_and_not_a_model() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        average([update(1.0, 300), update(np.inf, 100)])


def test_metrics_add_up() -> None:
    merged = total([update(0, 10).metrics, update(0, 30).metrics])
    assert (merged.rows, merged.mean_loss(), merged.accuracy()) == (40, 2.0, 0.5)


@pytest.mark.parametrize(
    ("arrays", "metrics", "message"),
    [
        ([np.zeros((3, 4))], Metrics(1, 0.0), "1 arrays; the study has 2"),
        ([np.zeros((1, 4)), np.zeros(3)], Metrics(1, 0.0), r"coefficients: float64 \(1, 4\)"),
        ([np.zeros((3, 4)), np.zeros(1)], Metrics(1, 0.0), r"intercept: float64 \(1,\)"),
        ([np.zeros((3, 4), np.float32), np.zeros(3)], Metrics(1, 0.0), "coefficients: float32"),
        ([np.full((3, 4), np.nan), np.zeros(3)], Metrics(1, 0.0), "coefficients: not all .*finite"),
        ([np.zeros((3, 4)), np.full(3, np.inf)], Metrics(1, 0.0), "intercept: not all .*finite"),
        (
            [np.zeros((3, 4)), np.full(3, -1.7e308)],
            Metrics(1, 0.0),
            "intercept: .* beyond 1e\\+100",
        ),
        ([np.zeros((3, 4)), np.zeros(3)], Metrics(1, np.nan), "metric loss is nan"),
        ([np.zeros((3, 4)), np.zeros(3)], Metrics(1, 0.0, 0, np.inf), "squared_error is inf"),
        ([np.zeros((3, 4)), np.zeros(3)], Metrics(1, -1.7e308), "metric loss is -1.7e"),
        ([np.zeros((3, 4)), np.zeros(3)], Metrics(0, 0.0), "0 rows"),
        ([np.zeros((3, 4)), np.zeros(3)], Metrics(-5, 0.0), "-5 rows"),
        ([np.zeros((3, 4)), np.zeros(3)], Metrics(10**12, 0.0), "rows; a whole number from 1"),
        ([np.zeros((3, 4)), np.zeros(3)], Metrics(5, 0.0, 6), "6 right classes of 5 rows"),
    ],
)
def test_a_bad_update_is_refused_with_its_fault(
    arrays: list[np.ndarray], metrics: Metrics, message: str
) -> None:
    with pytest.raises(UpdateError, match=message):
        check_update(arrays, metrics, SHAPES)


def test_an_update_survives_the_message() -> None:
    sent = [np.arange(12.0).reshape(3, 4), np.arange(3.0)]
    metrics, arrays = read_reply(write_reply(Metrics(7, 1.5, 3), sent))
    assert metrics == Metrics(7, 1.5, 3)
    for before, after in zip(sent, arrays, strict=True):
        np.testing.assert_array_equal(after, before)


def lying(shape: tuple[int, ...], data: bytes) -> RecordDict:
    content = write_reply(Metrics(1, 0.0))
    array = Array("float64", shape, "numpy.ndarray", data)
    content["parameters"] = ArrayRecord({"0": array})
    return content


@pytest.mark.parametrize(
    "content",
    [
        lying((1 << 40,), np.lib.format.MAGIC_PREFIX + b"\x01\x00"),
        lying((2,), Array(np.zeros(3)).data),
        lying((3,), b"cposix\nsystem\n(S'true'\ntR."),
        lying((-3,), Array(np.zeros(3)).data),
        lying((1,) * 33, _npy_header((1,) * 33, np.dtype(np.float64)) + bytes(8)),
        lying((0, 2**62, 2**62), _npy_header((0, 2**62, 2**62), np.dtype(np.float64))),
        lying((1,) * 40_000, bytes(8)),
        lying((0, 2**63), _npy_header((0, 2**63), np.dtype(np.float64))),
        RecordDict({"metrics": MetricRecord({"rows": 3})}),
        RecordDict(),
    ],
)
def test_a_reply_that_is_not_what_it_declares_is_refused(content: RecordDict) -> None:
    with pytest.raises(UpdateError):
        read_reply(content)
