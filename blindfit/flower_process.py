"""Flower's programs as child processes that never outlive us.

Flower starts processes of processes, some of them detached, and ending the first leaves the others
alive. All of them inherit a mark in their environment, by which we find what we started.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Self

_MARK = "BLINDFIT_FLOWER_MARK"
_GRACE_SECONDS = 10.0  # for a SuperNode to sign off, and a SuperLink to stop its parts
_TERM_SECONDS = 3.0
_PROGRAMS = Path(sys.executable).parent
_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",  # seconds; by default a message waits up to one
    "NO_COLOR": "1",
}


def _environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(_PROGRAMS), os.environ.get("PATH", "")])
    return os.environ | _SETTINGS | {"FLWR_HOME": str(folder / "flwr"), "PATH": path}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class FlowerProcess:
    """One Flower program with its descendants, as a context manager; output goes to a log file."""

    def __init__(self, command: list[str], folder: Path, log: Path, **environment: str) -> None:
        self._mark = secrets.token_hex(16)
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(_PROGRAMS / command[0]), *command[1:]],
                cwd=folder,
                env=_environment(folder) | environment | {_MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the program itself still runs."""
        return self._process.poll() is None

    def log_tail(self, lines: int = 5) -> str:
        """The last lines of its log, for an error message."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.strip().splitlines()[-lines:])

    def stop(self) -> None:
        """End the program and everything it started; a second Ctrl-C does not interrupt this."""
        with _uninterrupted():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
            _end(self._mark)
            self._process.wait()


def _end(mark: str) -> None:
    import psutil

    left = [process for process in psutil.process_iter() if _carries(process, mark)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, _TERM_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, _TERM_SECONDS)


def _carries(process: object, mark: str) -> bool:
    import psutil

    try:
        return bool(process.environ().get(_MARK) == mark)  # type: ignore[attr-defined]
    except (psutil.Error, OSError):
        return False  # another user's process, or one that just ended


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Within, SIGTERM ends the command as Ctrl-C does, so that what it started is ended too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
