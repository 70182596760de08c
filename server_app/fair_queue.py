"""A queue in which nobody waits behind all that somebody else has put there before."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items by owner: owners take turns, and each gets its own items first in, first out."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Item]] = {}  # in the order of the turns; none is empty

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, owner: str, item: Item) -> None:
        """Add an item; an owner that had none gets its turn after all others."""
        self._waiting.setdefault(owner, deque()).append(item)

    def take(self) -> Item:
        """The next item of the owner whose turn it is; raises IndexError when there is none."""
        if not self._waiting:
            raise IndexError("the queue is empty")
        owner = next(iter(self._waiting))
        own = self._waiting.pop(owner)
        item = own.popleft()
        if own:
            self._waiting[owner] = own
        return item

    def discard(self, owner: str, item: Item) -> None:
        """Remove an item, if it is still there."""
        own = self._waiting.get(owner, deque())
        if item in own:
            own.remove(item)
            if not own:
                del self._waiting[owner]
