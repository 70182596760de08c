"""Privacy: what secure aggregation costs, and that it changes nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.entries import Entry
from bench.images import load_mnist
from bench.private_training import measure_private_training
from bench.round_overhead import LIGHT, RoundSeconds, measure_overhead
from bench.secagg import PARTICIPANTS, measure_accuracy, measure_bytes
from bench.secagg_error import measure_error
from bench.secagg_scaling import SAMPLE, Cost, measure_scaling
from blindfit.console import say


def measure_privacy(work: Path, data: Path | None) -> list[Entry]:
    """Everything that was promised about privacy in numbers."""
    return [
        *_scaling(),
        _error(work / "error"),
        _bytes(work / "bytes"),
        _accuracy(work / "accuracy", data),
        *_overhead(work / "overhead", data),
        *_private(work / "private", data),
    ]


def _scaling() -> list[Entry]:
    """Promised: no faster than log n, which is 1.5 times from 100 to 1,000."""
    few, many = measure_scaling()
    _tell(few)
    _tell(many)
    baseline = f"{few.participants} participants"
    return [
        Entry("secagg.scaling", many.seconds, "s of CPU time", baseline, few.seconds, SAMPLE),
        Entry("secagg.scaling.bytes", many.bytes, "bytes", baseline, few.bytes, SAMPLE),
    ]


def _tell(cost: Cost) -> None:
    say(
        f"  {cost.participants:,} participants, {cost.degree} neighbours each: "
        f"{1000 * cost.seconds:.0f} ms, {cost.bytes / 1000:.0f} kB a round that somebody leaves; "
        f"{1000 * cost.undisturbed:.0f} ms in one that nobody leaves; once, for the list of "
        f"participants, {1000 * cost.roster_seconds:.0f} ms and {cost.roster_bytes / 1000:.0f} kB"
    )


def _error(work: Path) -> Entry:
    """Promised: within the bound that `Averaging.error` states."""
    errors = measure_error(work)
    for name, error in errors.items():
        say(f"  {name}: {error:.3g} of the bound")
    worst = max(errors.values())
    return Entry("secagg.error", worst, "of the bound", "stated bound", 1.0, len(errors))


def _bytes(work: Path) -> Entry:
    """Promised: at most twice those of readable updates."""
    sent = measure_bytes(work)
    return Entry(
        "secagg.bytes", sent.secure, "bytes", "readable updates", sent.readable, PARTICIPANTS
    )


def _accuracy(work: Path, data: Path | None) -> Entry:
    """Promised: the same within 0.001."""
    images = load_mnist(data)
    found = measure_accuracy(work, images)
    return Entry(
        "secagg.accuracy",
        found.secure,
        "share",
        "readable updates",
        found.readable,
        len(images.y_test),
    )


def _overhead(work: Path, data: Path | None) -> list[Entry]:
    """Promised: at most 1.2 times the seconds of a round with readable updates.

    ``light`` is the same with so few rows that hardly anything but Flower takes time.
    """
    images = load_mnist(data)
    light = replace(images, X_train=images.X_train[:LIGHT], y_train=images.y_train[:LIGHT])
    return [
        _overhead_entry("secagg.round_overhead", measure_overhead(work, images)),
        _overhead_entry("secagg.round_overhead.light", measure_overhead(work / "light", light)),
    ]


def _overhead_entry(name: str, found: RoundSeconds) -> Entry:
    secure, readable = median(found.secure), median(found.readable)
    return Entry(name, secure, "s", "readable updates", readable, len(found.secure))


def _private(work: Path, data: Path | None) -> list[Entry]:
    """Promised: an accuracy of 0.90 at least, with an epsilon of 1 at most."""
    found = measure_private_training(work, load_mnist(data))
    n = found.participants
    say(f"  accuracy {found.accuracy:.4f} at epsilon {found.epsilon:.6f}, delta {found.delta:g}")
    return [
        Entry("dp.accuracy", found.accuracy, "share", "promised", 0.90, n),
        Entry("dp.epsilon", found.epsilon, "epsilon", "promised", 1.0, n),
    ]


__all__ = ["measure_privacy"]
