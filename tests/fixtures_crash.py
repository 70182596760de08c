"""Killing a process at its N-th change of the files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.forks import run_in_fork
from bench.kill_points import KillPoints


def kill_points(
    folder: Path, prepare: Callable[[], None], work: Callable[[], None], every: int = 1
) -> Iterator[int]:
    """Yields N after ``work`` was killed at its N-th change below ``folder``, until it ends.

    ``prepare`` sets the scene anew each time; ``work`` runs in a fork. Between two points that are
    tried there are ``every`` - 1 that are not.
    """
    point = 1
    while True:
        prepare()
        outcome = run_in_fork(lambda at=point: _work(KillPoints(folder, at), work))
        if not outcome.killed:
            outcome.require_done()
            return
        yield point
        point += every


def _work(points: KillPoints, work: Callable[[], None]) -> None:
    points.install()
    work()
