"""`join` for a participant whose machine dies at a stage: ``DIE_AT=share:2 ... join ...``.

The stage's handler in the process that trains kills the whole family with SIGKILL: `join`, the
SuperNode, and itself. Everything else is the real program.
"""

from __future__ import annotations

import os
import signal
import sys

STAGE, _, ROUND = os.environ.get("DIE_AT", "").partition(":")
HOST = [sys.executable, __file__, "host"]


def run_join() -> None:
    from client_app import node
    from client_app.cli import main

    node._HOST = HOST
    # The process that trains starts with a clean environment, so it is told in another way.
    inherited = node.clean_environment
    node.clean_environment = lambda: (
        inherited()
        | {
            "FLWR_DIE_AT": os.environ["DIE_AT"],
            "FLWR_FAMILY": str(os.getpid()),
        }
    )
    main()


def run_host() -> None:
    from client_app import app_host
    from client_app.participant import Participant

    stage, _, number = os.environ["FLWR_DIE_AT"].partition(":")
    real = getattr(Participant, stage)

    def die(self: Participant, asked: object, *more: object) -> object:
        if asked.round_id.round >= int(number):  # type: ignore[attr-defined]
            os.kill(int(os.environ["FLWR_FAMILY"]), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, asked, *more)

    setattr(Participant, stage, die)
    app_host.main()


if __name__ == "__main__":
    if sys.argv[1:] == ["host"]:
        run_host()
    else:
        run_join()
