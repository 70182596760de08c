"""Bytes both ways between two connections, as they come, with bounded buffers."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from typing import NamedTuple

PIECE = 64 << 10  # bytes read at once; each direction of a connection holds a few of them
_CLOSE_SECONDS = 3.0  # for what was written to leave, and for the other's goodbye


class Connection(NamedTuple):
    """What asyncio gives for one connection."""

    reader: StreamReader
    writer: StreamWriter


async def pipe(near: Connection, far: Connection, heard: Callable[[], None]) -> None:
    """Pass bytes until either side ends; all that it sent before its end has been passed on.

    asyncio's TLS knows no half-closed connections: the end of one direction is the end of both.
    ``heard`` is called whenever ``far`` sends something. Raises the OSError that ended ``far``.
    """
    pumps = (
        asyncio.create_task(_pump(near.reader, far.writer)),
        asyncio.create_task(_pump(far.reader, near.writer, heard)),
    )
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    # How the near side ended is its own affair.
    if (broken := far.reader.exception()) is not None:
        raise broken


async def _pump(
    source: StreamReader, sink: StreamWriter, heard: Callable[[], None] = lambda: None
) -> None:
    while piece := await source.read(PIECE):
        heard()
        sink.write(piece)
        await sink.drain()  # whoever does not read is not read for


async def close(connection: Connection) -> None:
    """Send what is left, and say goodbye; not for ever."""
    connection.writer.close()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.writer.wait_closed()
    connection.writer.transport.abort()
