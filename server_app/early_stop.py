"""When a training has got as good as it gets, by a metric of all participants' rows."""

from __future__ import annotations

from collections.abc import Sequence

from blindfit.study import EarlyStop
from server_app.checkpoint import RoundRecord


def is_better(records: Sequence[RoundRecord], best_round: int, stop: EarlyStop | None) -> bool:
    """Whether the last record is the best so far, by more than ``min_delta``."""
    if stop is None:
        return False
    scores = {record.round: _score(record, stop) for record in records}
    last, best = scores[records[-1].round], scores.get(best_round)
    return last is not None and (best is None or last > best + stop.min_delta)


def should_stop(records: Sequence[RoundRecord], best_round: int, stop: EarlyStop | None) -> bool:
    """Whether ``patience`` scored rounds have passed since the best one."""
    if stop is None or not best_round:
        return False
    since = [r for r in records if r.round > best_round and _score(r, stop) is not None]
    return len(since) >= stop.patience


def _score(record: RoundRecord, stop: EarlyStop) -> float | None:
    """More is better."""
    value: float | None = getattr(record, stop.metric)
    if value is None:
        return None
    return -value if stop.metric == "loss" else value


__all__ = ["is_better", "should_stop"]
