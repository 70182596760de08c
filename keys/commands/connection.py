"""The store in a home, and the server that the home is enrolled with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.console import say

if TYPE_CHECKING:
    from blindfit.channel import ServerChannel
    from keys.identity import Identity
    from keys.store import KeyStore


def open_store(home: Path, *, recover: bool = False) -> KeyStore:
    """The store of ``home``; ``recover`` first finishes what dead processes left."""
    from keys.store import KeyStore

    store = KeyStore(home / "keys")
    if recover:
        store.recover()
    return store


@contextmanager
def connected(home: Path) -> Iterator[tuple[Identity, ServerChannel]]:
    """A channel to the server of ``home``'s identity; raises `NotEnrolledError`."""
    from blindfit.channel import ServerChannel
    from keys.identity import load_identity

    identity = load_identity(home)
    with ServerChannel.connect(
        identity.address, identity.ca_pem, identity.certificate_pem, identity.key_pem
    ) as channel:
        yield identity, channel


def report_step(step: str) -> None:
    """A line of progress on standard error."""
    say(f"  {step} …")


__all__ = ["connected", "open_store", "report_step"]
