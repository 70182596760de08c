"""The pool: whose row is next, and what becomes of a worker that cannot be trusted any more."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from server_app import pool as pool_module
from server_app.config import Config
from server_app.fair_queue import FairQueue
from server_app.pool import LocalPool
from server_app.runner import CircuitRef, KeyRef
from server_app.worker_protocol import Answer

CIRCUIT = CircuitRef(Path("/circuit"), "c" * 64, False, 100)
KEY = KeyRef("k" * 64, b"salt", Path("/key"), 10)
DONE = Answer("done", "", 0.0, (), ())


class Worker:
    """In the place of a process: says what it is told to, when it is let."""

    pid = 1
    circuits = keys = frozenset()
    log: list[bytes]
    gate: threading.Event

    def __init__(self, *_settings):
        pass

    def start(self):
        pass

    def end(self):
        pass

    def run(self, _job, ciphertext, _limit, _timeout):
        assert self.gate.wait(10)
        if ciphertext == b"poison":
            raise KeyError("nothing that anybody expected")
        self.log.append(ciphertext)
        return DONE, ciphertext


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setattr(Worker, "log", [], raising=False)
    monkeypatch.setattr(Worker, "gate", threading.Event(), raising=False)
    monkeypatch.setattr(pool_module, "WorkerProcess", Worker)
    return Worker


def test_owners_take_turns_and_each_is_served_in_order():
    queue = FairQueue[str]()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.put(item[0], item)
    assert len(queue) == 6
    assert [queue.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    with pytest.raises(IndexError):
        queue.take()


def test_who_gives_up_loses_no_turn_of_others():
    queue = FairQueue[str]()
    for item in ("a1", "b1", "a2"):
        queue.put(item[0], item)
    queue.discard("b", "b1")
    queue.discard("b", "b1")
    queue.discard("a", "a1")
    assert (len(queue), queue.take(), len(queue)) == (1, "a2", 0)


def test_one_row_does_not_wait_behind_the_many_of_another_tenant(worker, tmp_path):
    async def scenario():
        pool = LocalPool(Config(workers=1), tmp_path / "scratch")
        await pool.start()
        flood = [asyncio.create_task(run(pool, b"flood", "noisy")) for _ in range(20)]
        await asyncio.sleep(0)
        quiet = asyncio.create_task(run(pool, b"row", "quiet"))
        await asyncio.sleep(0)
        assert (pool.stats().running, pool.stats().waiting) == (1, 20)
        worker.gate.set()
        await asyncio.gather(quiet, *flood)
        await pool.close()

    asyncio.run(scenario())
    assert len(worker.log) == 21
    assert worker.log.index(b"row") == 2  # after the one that ran, and the one whose turn it was


def test_a_worker_is_replaced_after_any_error_at_all(worker, tmp_path):
    async def scenario():
        worker.gate.set()
        pool = LocalPool(Config(workers=1), tmp_path / "scratch")
        await pool.start()
        with pytest.raises(KeyError):
            await run(pool, b"poison", "clinic")
        async with asyncio.timeout(5):
            assert (await run(pool, b"row", "clinic")).ciphertext == b"row"
        stats = pool.stats()
        await pool.close()
        return stats

    stats = asyncio.run(scenario())
    assert (stats.workers, stats.running, stats.replaced) == (1, 0, 1)


def run(pool, ciphertext, owner):
    return pool.run(CIRCUIT, KEY, ciphertext, owner)
