"""Loads Concrete ML: ten seconds and 600 MB, so only where encrypted numbers are touched."""

from __future__ import annotations

import contextlib
import io


def load_concrete() -> None:
    """Import Concrete ML once, without torch's report to standard error that it found no GPU."""
    with contextlib.redirect_stderr(io.StringIO()):
        import concrete.ml.deployment  # noqa: F401
