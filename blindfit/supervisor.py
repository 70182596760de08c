"""A program that runs one command and leaves nothing of it behind. See `blindfit.supervised`.

Started as ``python -I -S supervisor.py CONTROL STATUS PARENT INPUT PROGRAM [ARGUMENT]...``: two
descriptors of pipes, the process that started it, and the bytes of CONTROL that are the command's
standard input (-1: it gets none). It ends the command and everything that came of it when

- CONTROL closes or it gets SIGTERM, SIGINT or SIGHUP: somebody asked;
- its parent dies, in whatever way: the parent alone holds the other end of CONTROL. Where a fork of
  the parent holds it too, PR_SET_PDEATHSIG tells;
- the command ends by itself.

Being a *child subreaper* (prctl(2)), it becomes the parent of every descendant whose own parent
ended, also of those that forked twice or made a session of their own. So it only ever signals its
own children, whose process ids nobody else can get, and it is done when it has none left.

What remains: SIGKILL of this program itself. The kernel then kills the command (PR_SET_PDEATHSIG),
and the parent looks for the rest by a mark in the environment; if it was killed as well, what the
command had started stays. Nor can we end processes of another user (setuid), and what forks faster
than we kill is only ended by a cgroup.

It imports only what starts fast (no site, no subprocess): a command starts some 20 ms later by it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from contextlib import suppress

GRACE_SECONDS = 10.0  # for a SuperNode to sign off, and a SuperLink to stop its parts
TERM_SECONDS = 3.0  # for what these leave behind
_PAUSE = 0.02  # seconds between two looks at what is left
_CHUNK = 65536  # bytes; what a pipe takes at once

# prctl(2); the numbers are those of linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_PARENT_DIED = signal.SIGUSR1  # it also comes when only the thread ended that started us
_ASKING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class Supervisor:
    """One command with its descendants."""

    def __init__(self, control: int, status: int, parent: int) -> None:
        self._control, self._status, self._parent = control, status, parent
        self._wake = _wake_on_signals()
        self._poll = select.poll()
        for descriptor in (control, self._wake):
            self._poll.register(descriptor, select.POLLIN)
        self._command = 0
        self._running = self._asked = False

    def run(self, command: list[str], given: int) -> None:
        """Start ``command``, wait for a reason to end it, and end it with all that it started."""
        pending = _receive(self._control, given)
        if len(pending) < given:
            return  # the parent died on the way
        source, sink = os.pipe() if given >= 0 else (os.open(os.devnull, os.O_RDONLY), -1)
        try:
            self._start(command, source)
            os.close(source)
            self._feed(sink, pending)
            while not self._over:
                self._await_something()
        finally:
            self._end()

    def _start(self, command: list[str], source: int) -> None:
        failed, failing = os.pipe()
        ours = os.getpid()
        self._command = os.fork()
        if self._command == 0:
            _become(command, source, ours, failing)
        os.close(failing)
        problem = os.read(failed, 16)  # empty once it runs: the other end closes on exec
        os.close(failed)
        self._running = not problem
        self._tell(b"failed " + problem if problem else b"started %d" % self._command)

    def _feed(self, sink: int, pending: bytearray) -> None:
        """Write ``pending`` to the command, as it reads, until there is a reason to end it."""
        if sink < 0:
            return
        os.set_blocking(sink, False)
        self._poll.register(sink, select.POLLOUT)
        try:
            while pending and not self._over:
                with suppress(BlockingIOError):
                    written = os.write(sink, pending[:_CHUNK])
                    pending[:written] = bytes(written)  # it may be a secret
                    del pending[:written]
                self._await_something()
        except BrokenPipeError:
            pass  # the command does not want it, and may run on
        finally:
            self._poll.unregister(sink)
            os.close(sink)

    @property
    def _over(self) -> bool:
        return self._asked or not self._running

    def _await_something(self) -> None:
        """Wait for a signal, the end of CONTROL or room in the command's standard input."""
        ready = {descriptor for descriptor, _ in self._poll.poll()}
        came = set(os.read(self._wake, 1024)) if self._wake in ready else set()
        orphaned = os.getppid() != self._parent
        self._asked |= self._control in ready or bool(came & _ASKING) or orphaned
        self._reap()

    def _reap(self) -> bool:
        """Collect what ended; whether any child is left."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            if process == self._command and self._running:
                self._running = False
                self._tell(b"ended %d" % os.waitstatus_to_exitcode(status))

    def _end(self) -> None:
        """The command and its group first, then what it left, then whoever does not listen."""
        self._poll.unregister(self._control)
        deadline = time.monotonic() + GRACE_SECONDS
        if self._running:
            _signal_group(self._command, signal.SIGTERM)
        while self._reap() and self._running and time.monotonic() < deadline:
            self._pause(_PAUSE)
        deadline = time.monotonic() + TERM_SECONDS
        asked: set[int] = set()
        while self._reap() and time.monotonic() < deadline:
            children = _children()
            for child in children - asked:
                _signal(child, signal.SIGTERM)
            asked = children  # an id that is gone may come back as another child's
            self._pause(_PAUSE)
        pause = 0.001  # what we kill leaves its own children to us: go round until none is left
        while self._reap():
            for child in _children():
                _signal(child, signal.SIGKILL)
            self._pause(pause)
            pause = min(pause * 1.2, 1.0)

    def _pause(self, seconds: float) -> None:
        """Wait until a child ended, at most ``seconds``."""
        if self._poll.poll(seconds * 1000):
            os.read(self._wake, 1024)

    def _tell(self, message: bytes) -> None:
        with suppress(BrokenPipeError):  # the parent died, which we will see
            os.write(self._status, message + b"\n")


def _receive(control: int, count: int) -> bytearray:
    """The next ``count`` bytes, or fewer when the other end closed."""
    received = bytearray()
    while len(received) < count:
        chunk = os.read(control, min(count - len(received), _CHUNK))
        if not chunk:
            break
        received += chunk
    return received


def _become(command: list[str], source: int, parent: int, failing: int) -> None:
    """In the forked child: be the command, with a session of its own."""
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the supervisor died before that held
        os.setsid()
        os.dup2(source, 0)
        # Python ignores these, and what is ignored stays so in a new program.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, *_ASKING, _PARENT_DIED, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execve(command[0], command, os.environb)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(failing, b"%d" % (error.errno or 0))
    finally:
        os._exit(127)


def _wake_on_signals() -> int:
    """A descriptor from which the numbers of the signals can be read that came."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (*_ASKING, _PARENT_DIED, signal.SIGCHLD):
        signal.signal(number, lambda number, frame: None)
    return wake


def _children() -> set[int]:
    """The processes whose parent we are."""
    ours = os.getpid()
    try:
        with open(f"/proc/self/task/{ours}/children", "rb") as file:  # noqa: PTH123 - starts fast
            return {int(word) for word in file.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        names = (name for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208
        return {int(name) for name in names if _parent_of(name) == ours}


def _parent_of(process: str) -> int:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123
            return int(file.read().rpartition(b")")[2].split()[1])  # proc(5): state, then ppid
    except OSError:
        return 0  # it just ended


def _signal(process: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def _signal_group(leader: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def main(arguments: list[str]) -> None:
    """Supervise one command, as this module describes."""
    control, status, parent, given = (int(argument) for argument in arguments[:4])
    for descriptor in (control, status):
        os.set_inheritable(descriptor, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_DUMPABLE, 0)  # the standard input that passes through here may be a secret
    supervisor = Supervisor(control, status, parent)
    _prctl(_PR_SET_PDEATHSIG, _PARENT_DIED)
    if os.getppid() == parent:  # else it died before that held
        supervisor.run(arguments[4:], given)


if __name__ == "__main__":
    main(sys.argv[1:])
