"""`join` for a participant whose machine dies at a stage: ``DIE_AT=share ... join ...``.

The process that trains stops for ever in the stage's handler and says so; `join` then kills itself
with SIGKILL, and all that it started ends. Everything else is the real program.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

HOST = [sys.executable, __file__, "host"]


def run_join() -> None:
    from client_app import node
    from client_app.cli import main

    node._HOST = HOST
    inherited, take = node.clean_environment, node._Node._take
    # The process that trains starts with a clean environment, so it is told in another way.
    node.clean_environment = lambda: inherited() | {"FLWR_DIE_AT": os.environ["DIE_AT"]}

    def die_when_told(self: Any, event: dict[str, Any]) -> None:
        if event["event"] == "dying":
            os.kill(os.getpid(), signal.SIGKILL)
        take(self, event)

    node._Node._take = die_when_told
    main()


def run_host() -> None:
    from client_app import app_host
    from client_app.participant import Participant

    def die(self: Any, *asked: Any) -> None:
        self._tell("dying")
        time.sleep(600)

    setattr(Participant, os.environ["FLWR_DIE_AT"], die)
    app_host.main()


if __name__ == "__main__":
    if sys.argv[1:] == ["host"]:
        run_host()
    else:
        run_join()
