"""Running a function in a fork of this process, which may die of it."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass

_SECONDS = 120  # more than anything that goes well takes


@dataclass(frozen=True)
class Outcome:
    """How a fork ended; ``error`` is empty if the function returned."""

    killed: bool
    error: str

    def require_done(self) -> None:
        """Raises RuntimeError if the function did not return."""
        if self.error:
            raise RuntimeError(self.error)


def run_in_fork(function: Callable[[], None]) -> Outcome:
    """Call ``function`` in a fork and wait for its end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(_SECONDS)
        _run(function, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        error = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return Outcome(number == signal.SIGKILL, f"ended by {signal.Signals(number).name}")
    return Outcome(False, error)


def _run(function: Callable[[], None], writer: int) -> None:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        traceback.print_exc()
        os.write(writer, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


__all__ = ["Outcome", "run_in_fork"]
