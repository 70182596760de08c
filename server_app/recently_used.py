"""A cache that forgets what was not used for longest, by a budget of costs."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class RecentlyUsed(Generic[Item]):
    """Items by name; their costs together stay within ``budget``, except for a single item."""

    def __init__(self, budget: int):
        self._budget = budget
        self._items: OrderedDict[str, tuple[Item, int]] = OrderedDict()

    def get(self, name: str) -> Item | None:
        """The item, which is the most recently used one from now on, or None."""
        found = self._items.get(name)
        if found is None:
            return None
        self._items.move_to_end(name)
        return found[0]

    def put(self, name: str, item: Item, cost: int) -> None:
        """Keep an item, at the expense of those not used for longest."""
        self._items[name] = item, cost
        self._items.move_to_end(name)
        while len(self._items) > 1 and self.cost() > self._budget:
            self._items.popitem(last=False)

    def pop(self, name: str) -> Item | None:
        """Take an item out, or None."""
        found = self._items.pop(name, None)
        return None if found is None else found[0]

    def cost(self) -> int:
        """The costs of all items together."""
        return sum(cost for _, cost in self._items.values())

    def names(self) -> tuple[str, ...]:
        """What is kept, least recently used first."""
        return tuple(self._items)
