"""Loads Concrete ML: ten seconds and 600 MB, so only where encrypted numbers are touched."""

from __future__ import annotations

import contextlib
import io
import signal
import threading

# What ends a command, and what Python ignores so that a closed pipe is an error like others.
_OURS = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def load_concrete() -> None:
    """Import Concrete ML once, without torch's report to standard error that it found no GPU."""
    with contextlib.redirect_stderr(io.StringIO()):
        import concrete.ml.deployment  # noqa: F401


def take_back_signals() -> None:
    """After a circuit was run: make signals do again what this process has said they do.

    The first run of a circuit starts Concrete's runtime (HPX), whose handlers end the process with
    a stack trace, also for SIGPIPE: one connection that its peer closed would be the end. For the
    main thread; in another one nothing can be done.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _OURS:
        handler = signal.getsignal(number)
        if handler is not None:  # else it was not set by Python
            signal.signal(number, handler)
