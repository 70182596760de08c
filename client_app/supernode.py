"""Flower's SuperNode, which asks the SuperLink more often: ``python -m client_app.supernode ...``.

A round of secure aggregation has five messages, and an idle SuperNode asks for the next one every
three seconds. Flower 1.41 has no option for that, so the loop's clock is exchanged.
"""

from __future__ import annotations

import time

from flwr.supernode import start_client_internal as loop
from flwr.supernode.cli.flower_supernode import flower_supernode

POLL_SECONDS = 0.25


class _ShortSleeps:
    """In place of the module ``time`` in the loop, which uses nothing else of it."""

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(min(seconds, POLL_SECONDS))


def main() -> None:
    """Run the SuperNode; arguments are those of ``flower-supernode``."""
    loop.time = _ShortSleeps
    flower_supernode()


if __name__ == "__main__":
    main()
