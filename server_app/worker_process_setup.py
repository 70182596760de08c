"""What a worker process does for its safety before it reads anything."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading

from blindfit.core_dumps import disable_core_dumps


def set_up_worker(scratch: str) -> None:
    """No core dumps, no orphan, nothing on standard output, temporary files in ``scratch``."""
    disable_core_dumps()
    # Ctrl-C and a service manager's SIGTERM reach the whole group, but accepted rows shall finish:
    # only the daemon ends a worker, by closing its pipe or by SIGKILL. Blocked and not ignored,
    # because LLVM installs handlers of its own when a circuit is loaded.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    tempfile.tempdir = scratch  # Concrete unpacks circuits into temporary folders and leaves them
    threading.Thread(target=_end_with_daemon, daemon=True).start()


def _end_with_daemon() -> None:
    """End in mid-run when the daemon was killed."""
    daemon = multiprocessing.parent_process()
    if daemon is not None:
        daemon.join()
    os._exit(1)
