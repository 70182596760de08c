"""The life of keys: crashes, rotation under load, uploads, opening."""

from __future__ import annotations

from pathlib import Path

from bench.entries import Entry
from bench.keys_crash import measure_crashes
from bench.keys_load import rotate_under_load
from bench.keys_unlock import measure_unlock
from bench.keys_upload import measure_interruptions, measure_memory, measure_rate
from bench.server_crash import measure_server_crashes
from blindfit.console import say

_MB = 1e6
_MOST_SENT_AGAIN = 2.0  # MB, after one interruption


def measure_keys(work: Path, data: Path | None) -> list[Entry]:
    """Everything that was promised about keys in numbers."""
    del data
    return [
        *measure_unlock(work / "unlock"),
        *_upload(work),
        _client_crashes(work / "client"),
        _server_crashes(work / "server"),
        _rotation(work / "load"),
    ]


def _upload(work: Path) -> list[Entry]:
    rate = measure_rate(work / "rate")
    memory = measure_memory(work / "memory")
    again = measure_interruptions(work / "interruptions")
    return [
        Entry("keys.upload.rate", rate.rate, "MB/s", "hash and write", rate.to_file, rate.times),
        Entry("keys.upload.memory", memory.growth / _MB, "MB", "the key", memory.key / _MB, 1),
        Entry(
            "keys.upload.sent_again",
            max(again) / _MB,
            "MB",
            "promised",
            _MOST_SENT_AGAIN,
            len(again),
        ),
    ]


def _client_crashes(work: Path) -> Entry:
    matrix = measure_crashes(work)
    _tell(matrix.failures)
    return _crashes("keys.crash_points", matrix.tried, matrix.without_loss)


def _server_crashes(work: Path) -> Entry:
    matrix = measure_server_crashes(work)
    _tell(matrix.failures)
    return _crashes("keys.server_crash_points", matrix.tried, matrix.kept)


def _crashes(name: str, tried: int, kept: int) -> Entry:
    return Entry(name, tried, "points", "without loss", kept, tried, share=kept / tried)


def _rotation(work: Path) -> Entry:
    load = rotate_under_load(work)
    failed = load.failed + load.wrong
    return Entry(
        "keys.rotation.failed", failed, "predictions", "all", load.predictions, load.rotations
    )


def _tell(failures: tuple[str, ...]) -> None:
    for failure in failures:
        say(f"  {failure}")
