"""Rotations that are killed in the middle, against a real daemon and with real FHE."""

from __future__ import annotations

import os
import signal

import pytest

from bench.forks import run_in_fork
from bench.keys_crash import measure_crashes
from bench.kill_points import KillPoints
from blindfit.files import write_atomic

EVERY = 3  # the benchmark tries all


@pytest.mark.slow
def test_no_point_of_a_rotation_loses_anything_when_it_is_killed_there(tmp_path):
    matrix = measure_crashes(tmp_path / "crashes", EVERY)
    assert matrix.failures == ()
    assert matrix.last_point >= 60 and matrix.tried >= 20


def test_the_kill_points_of_an_atomic_write_are_all_counted(tmp_path):
    path = tmp_path / "file"
    names = ["open", "write", "half a write", "fsync", "folder's fsync", "rename", "the last fsync"]
    for number, name in enumerate(names, start=1):
        outcome = run_in_fork(lambda: _write(path, number))  # noqa: B023
        assert outcome.killed, name
        assert path.exists() is (name == "the last fsync")
    assert not run_in_fork(lambda: _write(path, len(names) + 1)).killed


def test_a_torn_write_leaves_half_of_the_bytes(tmp_path):
    assert run_in_fork(lambda: _write(tmp_path / "file", 3)).killed
    (temporary,) = tmp_path.iterdir()
    assert temporary.read_bytes() == b"01234"


def test_other_folders_are_not_counted(tmp_path):
    (tmp_path / "counted").mkdir()

    def elsewhere() -> None:
        KillPoints(tmp_path / "counted", 1).install()
        write_atomic(tmp_path / "file", b"0123456789")

    assert not run_in_fork(elsewhere).killed


def test_a_fork_that_fails_tells_why():
    def fail() -> None:
        raise ValueError("the reason")

    assert "the reason" in run_in_fork(fail).error
    killed = run_in_fork(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert not killed.killed and "SIGTERM" in killed.error


def _write(path, point):
    KillPoints(path.parent, point).install()
    write_atomic(path, b"0123456789")
