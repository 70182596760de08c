"""Keys in use: who holds one, who waits for it, and what a dead process leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from blindfit.errors import AccessError
from keys.in_use import using, wait_until_unused

KEY, OTHER = "ab" * 32, "cd" * 32


def unused(root, key_id=KEY, timeout=0.0, report=lambda seconds: None) -> bool:
    return wait_until_unused(root, key_id, timeout=timeout, report=report)


def test_a_key_is_in_use_until_the_last_holder_lets_go(tmp_path):
    with using(tmp_path, KEY):
        with using(tmp_path, KEY):
            assert not unused(tmp_path)
        assert not unused(tmp_path)
        assert unused(tmp_path, OTHER)
    assert unused(tmp_path)


def test_a_key_that_was_never_used_is_unused(tmp_path):
    assert unused(tmp_path)


def test_waiting_ends_when_the_holder_lets_go(tmp_path):
    left = []
    release = threading.Event()

    def hold(held: threading.Event) -> None:
        with using(tmp_path, KEY):
            held.set()
            release.wait(30)

    held = threading.Event()
    holder = threading.Thread(target=hold, args=(held,))
    holder.start()
    held.wait(30)

    def report(seconds: int) -> None:
        left.append(seconds)
        release.set()

    assert unused(tmp_path, timeout=60.0, report=report)
    holder.join()
    assert left == [60]


def test_waiting_gives_up_at_its_deadline(tmp_path):
    with using(tmp_path, KEY):
        assert not unused(tmp_path, timeout=0.3)


def test_another_process_holds_it_and_its_death_releases_it(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from keys.in_use import using\n"
        "with using(Path(sys.argv[1]), sys.argv[2]): print('held', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), KEY], stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"held\n"
    assert not unused(tmp_path)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert (tmp_path / "in-use" / KEY).exists()
    assert unused(tmp_path)
    assert not (tmp_path / "in-use" / KEY).exists()


def test_no_files_are_left(tmp_path):
    with using(tmp_path, KEY), using(tmp_path, KEY):
        assert [path.name for path in (tmp_path / "in-use").iterdir()] == [KEY]
    assert list((tmp_path / "in-use").iterdir()) == []


def test_a_holder_is_seen_although_others_look_and_remove_all_the_time(tmp_path):
    """A lock on a file that was removed between opening and locking would be seen by nobody."""
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            unused(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            with using(tmp_path, KEY):
                assert not unused(tmp_path)
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_others_cannot_put_a_link_in_its_place(tmp_path):
    (tmp_path / "in-use").mkdir(mode=0o700)
    (tmp_path / "elsewhere").touch()
    (tmp_path / "in-use" / KEY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccessError, match="not a file to lock"), using(tmp_path, KEY):
        pass
    (tmp_path / "in-use").chmod(0o755)
    with pytest.raises(AccessError), using(tmp_path, KEY):
        pass
