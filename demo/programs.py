"""Runs Blindfit's own commands, as a person would, and ends those that go on running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

_BIN = Path(sys.executable).parent
_STOP_SECONDS = 40.0


class CommandFailedError(RuntimeError):
    """A command ended with an error."""


def environment() -> dict[str, str]:
    """The caller's environment, without a home that would mix with the demo's."""
    return {k: v for k, v in os.environ.items() if k != "BLINDFIT_HOME"}


def command(*arguments: str | Path) -> list[str]:
    """The command line of ``blindfit-server train ...`` and the like, from this environment."""
    program, *rest = map(str, arguments)
    return [str(_BIN / program), *rest]


def ask(*arguments: str | Path, log: IO[str] | None = None) -> dict[str, Any]:
    """Run a command with ``--json`` and return its document; raises `CommandFailedError`."""
    done = subprocess.run(
        command(*arguments, "--json"),
        stdout=subprocess.PIPE,
        stderr=log or subprocess.PIPE,
        text=True,
        check=False,
        env=environment(),
    )
    if done.returncode:
        told = (done.stderr or "") + done.stdout
        raise CommandFailedError(
            f"{' '.join(map(str, arguments))} ended with {done.returncode}:\n{told}"
        )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


class Background:
    """A command that goes on running; its standard error goes to a file."""

    def __init__(self, arguments: list[str], log: Path, on_line: Callable[[str], None] = print):
        self._log_path = log
        self._log = log.open("w")
        self._on_line = on_line
        self.process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            env=environment(),
        )

    def first_document(self) -> dict[str, Any]:
        """The first line of its standard output, as JSON; raises `CommandFailedError`."""
        if self.process.stdout is None:
            raise CommandFailedError("no output")
        line = self.process.stdout.readline()
        if not line:
            raise CommandFailedError(f"it ended at once:\n{self._log_path.read_text()}")
        document: dict[str, Any] = json.loads(line)
        return document

    def wait(self, timeout: float) -> str:
        """Its standard output when it has ended well; raises `CommandFailedError`."""
        output, _ = self.process.communicate(timeout=timeout)
        if self.process.returncode:
            raise CommandFailedError(
                f"{self.process.args!r} ended with {self.process.returncode}:\n"
                f"{self._log_path.read_text()}\n{output}"
            )
        return output

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End it and everything that it started."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._log.close()


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Poll until ``condition`` holds; raises `CommandFailedError` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise CommandFailedError(f"{what} took over {timeout:.0f} seconds")
        time.sleep(0.05)
