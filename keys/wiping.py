"""Secrets in memory: overwritten after use where Python allows it, never pickled or copied.

Wiping is best effort and no more. Python cannot overwrite ``bytes`` and ``str``: a passphrase as it
was typed, what a library returned as ``bytes``, and pages that were swapped out stay until their
memory is used for something else. It shortens how long a secret lies around; what protects it is
that core dumps are off and that other users cannot read the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

_ZEROS: Final = bytes(1 << 16)


def wipe(*secrets: bytearray | memoryview) -> None:
    """Overwrite with zeros, in place and without another copy; a read-only view stays as it is."""
    for secret in secrets:
        with memoryview(secret) as view:
            if not view.readonly:
                for start in range(0, len(view), len(_ZEROS)):
                    end = min(start + len(_ZEROS), len(view))
                    view[start:end] = _ZEROS[: end - start]


@contextmanager
def wiped(secret: bytearray) -> Iterator[bytearray]:
    """``secret`` for the length of a ``with`` block, overwritten at its end."""
    try:
        yield secret
    finally:
        wipe(secret)


class Unshared:
    """A class whose objects hold a secret: they are not pickled or copied by accident."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds a secret: it is not pickled or copied")


__all__ = ["Unshared", "wipe", "wiped"]
