"""Flower's programs as child processes that never outlive us.

Flower starts processes of processes, some of them detached, and ending the first leaves the others
alive. So `blindfit.supervised` runs them: they end with `stop`, with the program, and with us, also
when we get SIGKILL. All of them inherit a mark in their environment, by which we find what is left
should the supervisor itself be killed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Self

from blindfit.supervised import Supervised

_MARK = "BLINDFIT_FLOWER_MARK"
_TERM_SECONDS = 3.0
_PROGRAMS = Path(sys.executable).parent
_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",  # seconds until the ServerApp is started
    "NO_COLOR": "1",
}


def _environment(folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(_PROGRAMS), inherited.get("PATH", "")])
    return {**inherited, **_SETTINGS, "FLWR_HOME": str(folder / "flwr"), "PATH": path}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class FlowerProcess:
    """One Flower program with its descendants, as a context manager; output goes to a log file.

    ``stdin`` is written to the program's standard input, which is then closed: secrets reach it so,
    and neither its arguments, its environment nor a file shows them. ``inherited`` is what it gets
    of our environment [default: all], ``environment`` what it gets beside that. Raises OSError when
    the program cannot be started.
    """

    def __init__(
        self,
        command: list[str],
        folder: Path,
        log: Path,
        *,
        stdin: bytes | None = None,
        inherited: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._mark = secrets.token_hex(16)
        self.log = log
        base = _environment(folder, os.environ if inherited is None else inherited)
        with log.open("ab") as output:
            self._supervised = Supervised(
                [str(_PROGRAMS / command[0]), *command[1:]],
                folder,
                output,
                {**base, **(environment or {}), _MARK: self._mark},
                stdin,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the program itself still runs."""
        return self.returncode is None

    @property
    def returncode(self) -> int | None:
        """The program's exit status, negative for a signal; None while it runs."""
        return self._supervised.poll()

    def log_tail(self, lines: int = 5) -> str:
        """The last lines of its log, for an error message."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.strip().splitlines()[-lines:])

    def stop(self) -> None:
        """End the program and everything it started; a second Ctrl-C does not interrupt this."""
        with _uninterrupted():
            self._supervised.end()
            if self._supervised.abandoned:
                _end(self._mark)


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
