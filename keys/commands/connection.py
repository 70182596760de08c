"""The store in a home, and the server that the home is enrolled with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.console import read_passphrase, say

if TYPE_CHECKING:
    from blindfit.channel import ServerChannel
    from keys.identity import Identity
    from keys.store import KeyStore
    from keys.unlocked_store import UnlockedStore


def open_store(home: Path) -> KeyStore:
    """The store of ``home``, to read; needs no passphrase."""
    from keys.store import KeyStore

    return KeyStore.of(home)


def unlocked_store(
    home: Path, passphrase_file: Path | None, *, create: bool = False
) -> UnlockedStore:
    """The store of ``home``, opened by the OS keyring or a passphrase, which is asked for.

    ``create`` makes the store on first use; its passphrase is asked twice.
    """
    from keys.unlocking import unlock_store

    is_new = create and not open_store(home).exists
    return unlock_store(
        home, lambda: read_passphrase(passphrase_file, confirm=is_new), create=create
    )


@contextmanager
def connected(home: Path) -> Iterator[tuple[Identity, ServerChannel]]:
    """A channel to the server of ``home``'s identity; raises `NotEnrolledError`."""
    from keys.connecting import connect
    from keys.identity import load_identity

    identity = load_identity(home)
    with connect(identity) as channel:
        yield identity, channel


def report_step(step: str) -> None:
    """A line of progress on standard error."""
    say(f"  {step} …")


__all__ = ["connected", "open_store", "report_step", "unlocked_store"]
