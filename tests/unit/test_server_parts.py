"""Small parts of the serving side: cache, pipe protocol, the lock of a home, what is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from blindfit.address import join_address, split_address
from blindfit.errors import InputError, UnavailableError
from server_app.home import create_home
from server_app.layout import Layout
from server_app.recently_used import RecentlyUsed
from server_app.running import Running, announce, find_running, only_daemon
from server_app.worker_protocol import Answer, Job


def test_the_cache_forgets_what_was_not_used_for_longest():
    cache = RecentlyUsed[str](10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert cache.get("b") is None
    assert cache.names() == ("a", "c")
    assert cache.cost() == 8


def test_the_cache_keeps_one_item_even_above_its_budget():
    cache = RecentlyUsed[str](10)
    cache.put("a", "A", 1)
    cache.put("huge", "H", 100)
    assert cache.names() == ("huge",)


def test_a_replaced_item_is_counted_once():
    cache = RecentlyUsed[str](10)
    cache.put("a", "A", 4)
    cache.put("a", "B", 6)
    assert (cache.get("a"), cache.cost()) == ("B", 6)


def test_what_is_taken_out_of_the_cache_is_no_longer_in_it():
    cache = RecentlyUsed[str](10)
    cache.put("a", "A", 4)
    assert (cache.pop("a"), cache.pop("a"), cache.cost()) == ("A", None, 0)


def test_only_a_listener_may_leave_its_port_open():
    assert split_address("[::1]:0", any_port=True) == ("::1", 0)
    for address in ("localhost:0", "localhost:٣", "localhost:-1", "localhost"):
        with pytest.raises(InputError, match="is not an address"):
            split_address(address)
    assert join_address("::1", 7) == "[::1]:7"
    assert join_address("localhost", 7) == "localhost:7"


def test_jobs_and_answers_come_back_as_they_were():
    job = Job("c" * 64, "/folder", 2, "k" * 64, "00", "/key", 7)
    answer = Answer("done", "", 0.5, ("c",), ("k1", "k2"))
    assert Job.from_bytes(job.to_bytes()) == job
    assert Answer.from_bytes(answer.to_bytes()) == answer


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04N.",
        b"[]",
        b"{}",
        b'{"outcome": "win", "text": "", "seconds": 0, "circuits": [], "keys": []}',
        b'{"outcome": "done", "text": "", "seconds": "x", "circuits": [], "keys": []}',
        b'{"outcome": "done", "text": "", "seconds": 0, "circuits": 5, "keys": []}',
        b'{"outcome": "done", "text": "", "seconds": %d, "circuits": [], "keys": []}' % 10**400,
        b'{"outcome": "done", "text": "", "seconds": ' + b"[" * 60_000,
    ],
    ids=range(9),
)
def test_what_no_honest_worker_says_is_a_value_error(content):
    with pytest.raises(ValueError, match=r".*"):
        Answer.from_bytes(content)


def test_a_home_is_served_by_one_daemon_and_others_find_it(tmp_path):
    layout = create_home(tmp_path / "home", [])
    running = Running(42, "127.0.0.1:1", "127.0.0.1:2")
    assert find_running(layout) is None
    with only_daemon(layout):
        assert find_running(layout) is None  # not ready yet
        announce(layout, running)
        assert find_running(layout) == running
        with pytest.raises(UnavailableError, match="another daemon"), only_daemon(layout):
            pass
        assert find_running(layout) == running
    assert find_running(layout) is None
    assert not layout.daemon.exists()


def test_what_a_killed_daemon_left_is_not_believed(tmp_path):
    layout = create_home(tmp_path / "home", [])
    announce(layout, Running(42, "127.0.0.1:1", "127.0.0.1:2"))
    assert find_running(Layout(tmp_path / "home")) is None


def test_the_daemon_imports_no_secrets_and_no_concrete():
    code = (
        "import server_app.daemon, sys; "
        "found = {'keys', 'client_app', 'concrete', 'torch', 'flwr', 'sklearn'} & set(sys.modules);"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
