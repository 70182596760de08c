"""Answers a stream of rows, several at once, in the order in which they are done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from blindfit.errors import UnavailableError

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


async def answer_stream(
    requests: AsyncIterator[Asked],
    answer: Callable[[Asked], Awaitable[Answered]],
    window: int,
    draining: asyncio.Event,
) -> AsyncIterator[Answered]:
    """Yield an answer for every request, at most ``window`` of them read and not yet taken.

    So a slow reader holds back its own rows, and memory stays bounded. Once ``draining`` is set no
    more requests are read; after the accepted ones are answered `UnavailableError` is raised.
    """
    running: set[asyncio.Task[Answered]] = set()
    reading: asyncio.Task[Asked | None] | None = asyncio.create_task(_next(requests))
    drain = asyncio.create_task(_wait(draining))
    cut = False
    try:
        while reading or running:
            listen = reading is not None and len(running) < window
            tasks: set[asyncio.Task[Any]] = {*running, *({reading, drain} if listen else ())}
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if listen and reading in done:
                request = reading.result()
                if request is not None:
                    running.add(asyncio.create_task(_call(answer, request)))
                reading = None if request is None else asyncio.create_task(_next(requests))
            if draining.is_set() and reading:
                reading.cancel()
                reading, cut = None, True
            for answered in done & running:
                running.discard(answered)
                yield answered.result()
    finally:
        leftover: list[asyncio.Task[Any] | None] = [reading, drain, *running]
        for task in leftover:
            if task:
                task.cancel()
    if cut:
        raise UnavailableError("the server is shutting down; send the unanswered rows again")


async def _next(requests: AsyncIterator[Asked]) -> Asked | None:
    return await anext(requests, None)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _call(answer: Callable[[Asked], Awaitable[Answered]], request: Asked) -> Answered:
    return await answer(request)
