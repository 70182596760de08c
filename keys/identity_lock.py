"""Who changes ``<home>/identity`` now: one process at a time, which sweeps what dead ones left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from blindfit.errors import KeyStateError, UnavailableError
from blindfit.files import sweep_temporary
from keys.identity import identity_folder
from keys.lock import exclusive
from keys.private import require_private_folder

_PATIENCE = 0.5  # seconds


@contextmanager
def changing_identity(home: Path) -> Iterator[None]:
    """Be the one process that changes the identity; raises `KeyStateError` if another is.

    The folder is made if it is not there. Raises `AccessError` if others may use it.
    """
    folder = require_private_folder(identity_folder(home))
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / "lock", timeout=_PATIENCE))
        except UnavailableError as error:
            raise KeyStateError(
                "another process is changing this identity", hint="wait until it is over"
            ) from error
        sweep_temporary(folder)  # one of a dead process may hold a private key
        yield


__all__ = ["changing_identity"]
