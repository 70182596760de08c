"""Sends a key in pieces, with little of it on the way at any time.

What was sent but not acknowledged is lost when a connection drops. So the sender waits once that
much is unacknowledged, and no interruption costs more than `WINDOW_BYTES` sent again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

PIECE_BYTES = 640 << 10
WINDOW_BYTES = 3 * PIECE_BYTES


class UploadWindow:
    """The pieces of ``content`` from ``start`` on, for a thread that sends them.

    Another thread says what is acknowledged; else the sending one would wait for ever.
    """

    def __init__(self, content: bytes, start: int):
        self._content = memoryview(content)
        self._sent = self._acknowledged = start
        self._open = True
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of each piece, as soon as it may be sent."""
        while self._sent < len(self._content) and self._has_room():
            offset = self._sent
            piece = bytes(self._content[offset : offset + PIECE_BYTES])
            self._sent += len(piece)
            yield offset, piece

    def _has_room(self) -> bool:
        def decided() -> bool:
            return not self._open or self._sent - self._acknowledged <= WINDOW_BYTES - PIECE_BYTES

        with self._changed:
            self._changed.wait_for(decided)
            return self._open

    def acknowledge(self, received: int) -> None:
        """The receiver has the first ``received`` bytes."""
        with self._changed:
            self._acknowledged = received
            self._changed.notify()

    def close(self) -> None:
        """No piece is sent from now on."""
        with self._changed:
            self._open = False
            self._changed.notify()
