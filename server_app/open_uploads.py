"""How many uploads a tenant has open: each holds pieces in memory that no quota counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from blindfit.errors import UnavailableError


class OpenUploads:
    """A count by tenant; used in the event loop's thread alone."""

    def __init__(self, most: int):
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, tenant: str) -> Iterator[None]:
        """Counted while it lasts. Raises `UnavailableError`, after which clients try again.

        A stream that was cut may stay open for a moment beside the one that goes on with it.
        """
        if self._open[tenant] >= self._most:
            raise UnavailableError(
                f"{self._most} uploads of this tenant are open already",
                hint="wait until one of them has ended, and try again",
            )
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]
