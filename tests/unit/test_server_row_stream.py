"""Streams of rows: several at once, in any order, bounded, and cut cleanly when draining."""

from __future__ import annotations

import asyncio

import pytest

from blindfit.errors import UnavailableError
from server_app.row_stream import answer_stream


class Rows:
    """Requests 0, 1, 2, ... that remember how many were read."""

    def __init__(self, count):
        self.read = 0
        self._count = count

    async def __aiter__(self):
        for number in range(self._count):
            self.read += 1
            yield number


def collect(stream):
    async def run():
        return [answer async for answer in stream]

    return run()


def test_every_row_is_answered_in_the_order_of_its_end():
    async def main():
        async def answer(number):
            await asyncio.sleep(0.05 if number == 0 else 0)
            return number

        rows = aiter(Rows(5))
        return await collect(answer_stream(rows, answer, 2, asyncio.Event()))

    answers = asyncio.run(main())
    assert sorted(answers) == [0, 1, 2, 3, 4]
    assert answers[0] != 0


def test_no_more_rows_are_read_than_the_window_allows():
    async def main():
        rows, running, most = Rows(30), 0, 0

        async def answer(number):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.001)
            running -= 1
            return number

        ahead = []
        taken = 0
        async for _ in answer_stream(aiter(rows), answer, 4, asyncio.Event()):
            taken += 1
            ahead.append(rows.read - taken)
            await asyncio.sleep(0.002)  # a slow reader
        return most, max(ahead)

    most, ahead = asyncio.run(main())
    assert most == 4
    assert ahead <= 5  # the window, and one that is being read


def test_draining_answers_the_accepted_rows_and_refuses_the_rest():
    async def main():
        draining, rows, answered = asyncio.Event(), Rows(1000), []

        async def answer(number):
            await asyncio.sleep(0.005)
            return number

        with pytest.raises(UnavailableError, match="send the unanswered rows again"):
            async for reply in answer_stream(aiter(rows), answer, 3, draining):
                answered.append(reply)
                if len(answered) == 5:
                    draining.set()
        return rows.read, answered

    read, answered = asyncio.run(main())
    assert len(answered) < 15
    assert set(answered) >= set(range(read - 1))


def test_draining_ends_a_stream_that_waits_for_its_client():
    async def main():
        draining = asyncio.Event()

        async def silent():
            await asyncio.sleep(3600)
            yield 0

        async def answer(number):
            return number

        asyncio.get_running_loop().call_later(0.05, draining.set)
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(collect(answer_stream(silent(), answer, 2, draining)), 5)

    asyncio.run(main())


def test_a_stream_whose_last_row_was_read_before_the_drain_ends_well():
    async def main():
        draining = asyncio.Event()

        async def answer(number):
            draining.set()
            await asyncio.sleep(0.02)
            return number

        return await collect(answer_stream(aiter(Rows(1)), answer, 2, draining))

    assert asyncio.run(main()) == [0]


def test_an_answer_that_fails_ends_the_stream_and_the_other_rows():
    async def main():
        cancelled = []

        async def answer(number):
            if number == 1:
                raise ValueError("bad row")
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        with pytest.raises(ValueError, match="bad row"):
            await collect(answer_stream(aiter(Rows(3)), answer, 3, asyncio.Event()))
        await asyncio.sleep(0.01)
        return cancelled

    assert 0 in asyncio.run(main())
