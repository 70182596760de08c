"""Memory that holds secrets or other people's rows stays out of core files."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

_FILTER = Path("/proc/self/coredump_filter")


def disable_core_dumps() -> None:
    """No core files of this process and of what it starts.

    Linux ignores the limit when ``core_pattern`` is a pipe (to systemd, apport): there the filter
    leaves all memory out of what is piped (see core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not there on other systems, and not ours to write once the process is not dumpable at all.
    with suppress(FileNotFoundError, PermissionError):
        _FILTER.write_text("0")
