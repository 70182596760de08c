"""One command that ends with us, however we end: `blindfit.supervisor` runs it and watches us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from blindfit import supervisor
from blindfit.errors import TrainingError

_PROGRAM = supervisor.__file__
# Isolated and without site: neither the environment nor the folder decides what it imports.
_PYTHON = [sys.executable, "-I", "-S"]
_END_SECONDS = supervisor.GRACE_SECONDS + supervisor.TERM_SECONDS + 5.0


class Supervised:
    """A running command; ``stdin`` becomes its standard input, and reaches it through pipes only.

    Raises OSError as `subprocess.Popen` does when the program cannot be started, and
    `TrainingError` on systems other than Linux, where nothing would end what it starts.
    """

    def __init__(
        self,
        command: list[str],
        folder: Path,
        output: BinaryIO,
        environment: Mapping[str, str],
        stdin: bytes | None = None,
    ) -> None:
        if sys.platform != "linux":
            raise TrainingError(
                "Flower's programs are only run on Linux, which alone ends what they start",
                hint="train on a Linux machine or in a Linux container",
            )
        self.returncode: int | None = None
        self._control, self._status, self._supervisor = _start(
            command, folder, output, environment, -1 if stdin is None else len(stdin)
        )
        try:
            self._hand_over(stdin or b"")
            self._read_start(command[0])
        except BaseException:
            self.end()
            raise

    def poll(self) -> int | None:
        """The command's exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            try:
                self._take(os.read(self._status.fileno(), 256))
            except BlockingIOError:
                return None
        return self.returncode

    def end(self) -> None:
        """End the command and everything it started; bounded, and may be called again.

        Past the bound (a process in an uninterruptible wait) the supervisor goes on by itself.
        """
        self._control.close()
        try:
            self._supervisor.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return
        if not self._status.closed:
            self.poll()
            self._status.close()

    @property
    def abandoned(self) -> bool:
        """Whether the supervisor was killed, so that descendants of the command may be left."""
        return self._supervisor.poll() not in (None, 0)

    def _hand_over(self, stdin: bytes) -> None:
        left = memoryview(stdin)
        try:
            while left:
                left = left[self._control.write(left) :]
        except BrokenPipeError:
            return  # the supervisor died; `_read_start` tells

    def _read_start(self, program: str) -> None:
        word, _, number = self._status.readline().partition(b" ")
        if word == b"failed":
            raise OSError(int(number), os.strerror(int(number)), program)
        if word != b"started":
            raise TrainingError(f"{program} was not started", hint="see the end of its log")
        os.set_blocking(self._status.fileno(), False)

    def _take(self, message: bytes) -> None:
        ended = message.startswith(b"ended ")
        # An end without a message: the supervisor was killed, and the kernel killed the command.
        self.returncode = int(message.split()[1]) if ended else -signal.SIGKILL


def _start(
    command: list[str],
    folder: Path,
    output: BinaryIO,
    environment: Mapping[str, str],
    given: int,
) -> tuple[BinaryIO, BinaryIO, subprocess.Popen[bytes]]:
    control, controlling = os.pipe()  # neither end is inherited, unless it is passed
    telling, status = os.pipe()
    arguments = [*map(str, (control, status, os.getpid(), given)), *command]
    try:
        process = subprocess.Popen(
            [*_PYTHON, _PROGRAM, *arguments],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(control, status),
            start_new_session=True,  # Ctrl-C reaches us, and we ask the supervisor
        )
    except BaseException:
        os.close(controlling)
        os.close(telling)
        raise
    finally:
        os.close(control)
        os.close(status)
    # Unbuffered: what was not read stays in the pipe, and nothing is written twice.
    return open(controlling, "wb", buffering=0), open(telling, "rb", buffering=0), process  # noqa: PTH123
