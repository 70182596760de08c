"""Flower's SuperNode, which asks the SuperLink more often: ``python -m client_app.supernode ...``.

A round of secure aggregation has several messages, and an idle SuperNode of Flower 1.41 asks for
the next one every three seconds, without an option to change that. So the loop's clock is
exchanged: it asks soon while a training goes on, and rarely when there was no message for a while.
"""

from __future__ import annotations

import time

from flwr.supernode import start_client_internal as loop
from flwr.supernode.cli.flower_supernode import flower_supernode

SOON, RARELY = 0.3, 2.0  # seconds between two questions
ACTIVE_SECONDS = 60.0  # after a message: others may still be training
_REPLY_SECONDS = 0.1  # between looks for the reply of the process that trains
_IDLE = 3.0  # what the loop sleeps when there is no message; it sleeps less for everything else


class Clock:
    """In place of the module ``time`` in the loop, which uses nothing of it but ``sleep``."""

    def __init__(self) -> None:
        self._last_message = 0.0

    def sleep(self, seconds: float) -> None:
        """Sleep less than was asked for."""
        time.sleep(self.pause(seconds, time.monotonic()))

    def pause(self, seconds: float, now: float) -> float:
        """How long to sleep in place of ``seconds``."""
        if seconds < _IDLE:
            self._last_message = now
            return _REPLY_SECONDS
        return SOON if now - self._last_message < ACTIVE_SECONDS else RARELY


def main() -> None:
    """Run the SuperNode; arguments are those of ``flower-supernode``."""
    loop.time = Clock()
    flower_supernode()


if __name__ == "__main__":
    main()
