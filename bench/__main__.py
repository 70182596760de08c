"""Run the benchmarks: ``python -m bench [--only PART] [--data mnist.npz]``; PARTS has them all."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.cli import measure_cli
from bench.entries import FOLDER, Entry, write_entries
from bench.keys import measure_keys
from bench.mnist import measure_mnist
from bench.privacy import measure_privacy
from bench.serve import measure_serve
from blindfit.console import print_table, say

PARTS: dict[str, Callable[[Path, Path | None], list[Entry]]] = {
    "cli": measure_cli,
    "serve": measure_serve,
    "keys": measure_keys,
    "privacy": measure_privacy,
    "mnist": measure_mnist,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", choices=sorted(PARTS), help="one part")
    parser.add_argument("--data", type=Path, help="MNIST as .npz: X_train, y_train, X_test, y_test")
    arguments = parser.parse_args()
    entries: list[Entry] = []
    for name, measure in PARTS.items():
        if arguments.only in (None, name):
            say(f"measuring {name} ...")
            work = FOLDER.resolve() / name
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            entries += measure(work, arguments.data)
            path = write_entries(entries)
    columns = ["name", "value", "unit", "baseline", "baseline value", "ratio", "n"]
    print_table("", columns, [_row(entry) for entry in entries])
    print(f"written to {path}")


def _row(entry: Entry) -> list[str]:
    return [entry.name, f"{entry.value:.4g}", entry.unit, entry.baseline,
            f"{entry.baseline_value:.4g}", f"{entry.ratio:.3f}", str(entry.n)]  # fmt: skip


if __name__ == "__main__":
    main()
