"""The answers of one stream, read so that a server that lives and says nothing is noticed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator

from blindfit.channel import ServerChannel
from blindfit.errors import BlindfitError, UnavailableError
from blindfit.wire_types import PredictCall, PredictReply
from client_app.sender import Sender

Answer = tuple[PredictCall, PredictReply | BlindfitError]
Inbox = queue.SimpleQueue[Answer | BlindfitError | None]


def read_answers(
    channel: ServerChannel, sender: Sender, stall: float
) -> Generator[Answer, None, None]:
    """The answers to what ``sender`` sends; raises `BlindfitError` when the stream fails.

    Raises `UnavailableError` when a row that was sent has waited for ``stall`` seconds in which
    nothing else was answered either. Reading happens in a thread, which ends with the stream, at
    the latest when the channel is closed.
    """
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_read, args=(channel, sender, inbox), daemon=True).start()
    while True:
        try:
            item = inbox.get(timeout=stall)
        except queue.Empty:
            if sender.has_waited(stall):
                raise UnavailableError(f"the server gave no answer in {stall:g} seconds") from None
            continue
        if item is None:
            return
        if isinstance(item, BlindfitError):
            raise item
        yield item


def _read(channel: ServerChannel, sender: Sender, inbox: Inbox) -> None:
    try:
        for answer in channel.predict_stream(sender):
            inbox.put(answer)
            if sender.stopped:
                return  # nobody waits for the others
    except BlindfitError as error:
        inbox.put(error)
    finally:
        inbox.put(None)
