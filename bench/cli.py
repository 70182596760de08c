"""How long ``--help`` takes to answer."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.entries import Entry
from demo.programs import command

_COMMANDS = ("blindfit-server", "blindfit-client", "blindfit-keys")
_TIMES = 7


def measure_cli(work: Path, data: Path | None) -> list[Entry]:
    """The slowest command's median, beside an empty Python program's."""
    del work, data
    answers: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    python: list[float] = []
    for _ in range(_TIMES):
        python.append(_seconds([sys.executable, "-c", "pass"]))
        for name in _COMMANDS:
            answers[name].append(_seconds(command(name, "--help")))
    slowest = max(statistics.median(seconds) for seconds in answers.values())
    return [
        Entry(
            "cli.help", slowest, "s", "an empty Python program", statistics.median(python), _TIMES
        )
    ]


def _seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
