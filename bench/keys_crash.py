"""The crash matrix of a rotation: killed at every point, then gone on with.

A program of its own (``python -m bench.keys_crash FOLDER``): it imports Concrete once and never
opens a gRPC channel, so that each rotation is a fork of it which has Concrete loaded, talks to a
real daemon and may die. After each death other forks finish the rotation and check that nothing was
lost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.crash_children import (
    begin_home,
    check_home,
    finish,
    predict_now,
    publish,
    rotate_until,
)
from bench.forks import Outcome, run_in_fork
from blindfit.fhe_runtime import load_concrete
from demo.deployment import Deployment

_POINTS_PER_HOME = 10  # each point leaves a keyset that every later one is checked with


@dataclass(frozen=True)
class CrashMatrix:
    """``tried`` points; ``failures`` names those after which something was lost, and what."""

    tried: int
    last_point: int
    failures: tuple[str, ...]

    @property
    def without_loss(self) -> int:
        """After how many points everything was there and consistent."""
        return self.tried - len(self.failures)


def measure_crashes(work: Path, every: int = 1) -> CrashMatrix:
    """Kill at every ``every``-th point of a rotation, in a program of its own.

    ``work`` is a folder that is not there yet.
    """
    program = [sys.executable, "-m", "bench.keys_crash", str(work), "--every", str(every)]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return CrashMatrix(**{**document, "failures": tuple(document["failures"])})


def run_matrix(work: Path, every: int) -> CrashMatrix:
    """All points, one after the other, until a rotation ends without having been killed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with Deployment(work / "deployment", workers=1) as deployment:
        load_concrete()
        run_in_fork(lambda: publish(deployment.server)).require_done()
        tried, point, home, failures = 0, 1, None, []
        while True:
            if home is None or tried % _POINTS_PER_HOME == 0:
                home = _new_home(deployment, tried)
            outcome = run_in_fork(lambda: rotate_until(home, point))  # noqa: B023
            if not outcome.killed:
                outcome.require_done()
                return CrashMatrix(tried, point, tuple(failures))
            tried += 1
            loss = _loss(home)
            if loss:
                failures.append(f"point {point}: {loss}")
                home = None
            point += every


def _new_home(deployment: Deployment, number: int) -> Path:
    home = deployment.enroll(f"client-{number}")
    run_in_fork(lambda: begin_home(home)).require_done()
    return home


def _loss(home: Path) -> str:
    """What a death led to that must not be, in words; empty if all is well."""
    for what in (predict_now, finish, check_home):
        outcome: Outcome = run_in_fork(lambda: what(home))  # noqa: B023
        if outcome.error:
            return f"{what.__name__}: {outcome.error}"
    return ""


def main() -> None:
    """The command line; prints the result as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.keys_crash")
    parser.add_argument("work", type=Path)
    parser.add_argument("--every", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(asdict(run_matrix(arguments.work, arguments.every))))


if __name__ == "__main__":
    main()
