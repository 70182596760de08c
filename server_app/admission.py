"""Who may open a call at all, asked before anything of it is read.

For every method of a port, also those of gRPC's own services, which ask nobody who they are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

import grpc
from grpc import aio

from blindfit.errors import BlindfitError, InputError, LimitError, UnavailableError
from server_app.answering import refuse

_OWN = "/blindfit."
_SIDE_SECONDS = 5.0  # health and reflection: an open one would hold up the end of the daemon
_REQUEST_SECONDS = 20.0  # until the one message of a call is there


class Admission(aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Identifies the caller of every call and bounds how many one caller has open.

    ``identify`` names the caller of a gRPC context, or raises a `BlindfitError`.
    """

    def __init__(self, identify: Callable[[Any], str], calls: int):
        self._identify = identify
        self._calls = calls
        self._open: Counter[str] = Counter()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """The handler of a method, behind the questions."""
        handler = await continuation(details)
        if handler is None:
            return None
        codec = (handler.request_deserializer, handler.response_serializer)
        # Handlers of one message are made to take a stream: gRPC calls these before it reads it.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._with_answers(handler, details.method), *codec
            )
        return grpc.stream_unary_rpc_method_handler(
            self._with_answer(handler, details.method), *codec
        )

    def _with_answer(self, handler: Any, method: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(requests: Any, context: Any) -> Any:
            async with self._admitted(context, method):
                if handler.request_streaming:
                    return await handler.stream_unary(requests, context)
                request = await _only(requests, context, method)
                return await handler.unary_unary(request, context)

        return answer

    def _with_answers(self, handler: Any, method: str) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def answers(requests: Any, context: Any) -> AsyncIterator[Any]:
            async with self._admitted(context, method):
                if handler.request_streaming:
                    replies = handler.stream_stream(requests, context)
                else:
                    request = await _only(requests, context, method)
                    replies = handler.unary_stream(request, context)
                if isawaitable(replies):  # a handler that writes to the context itself
                    await replies
                else:
                    async for reply in replies:
                        yield reply

        return answers

    @asynccontextmanager
    async def _admitted(self, context: Any, method: str) -> AsyncIterator[None]:
        try:
            name = self._admit(context)
        except BlindfitError as error:
            await refuse(context, method, error)
        try:
            async with asyncio.timeout(None if method.startswith(_OWN) else _SIDE_SECONDS) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            late = UnavailableError(f"the server ends such a call after {_SIDE_SECONDS:.0f} s")
            await refuse(context, method, late)
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]

    def _admit(self, context: Any) -> str:
        name = self._identify(context)
        if self._open[name] >= self._calls:
            raise LimitError(
                f"{self._calls} calls of this client are open already",
                hint="end some of them, or send the rows over one stream",
            )
        self._open[name] += 1
        return name


async def _only(requests: Any, context: Any, method: str) -> Any:
    """The message of a call that has one."""
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            return await anext(aiter(requests))
    except TimeoutError:
        await refuse(context, method, UnavailableError("the call's message did not come in time"))
    except StopAsyncIteration:
        await refuse(context, method, InputError("the call has no message"))
