"""A bounded cache: it keeps the values used last."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LRU"]

K = TypeVar("K")
V = TypeVar("V")


class LRU(Generic[K, V]):
    """The values used last, up to a total weight. Callers in several threads hold a lock.

    Args:
        most: the greatest total weight. A heavier value is not kept.
        weigh: the weight of a value; default: each weighs 1.
    """

    def __init__(self, most: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._weight = 0

    def get(self, key: K) -> V | None:
        """Return a value, now the one used last; None for an unknown key."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V) -> None:
        """Keep a value in place of the one before, and drop those unused for the longest time."""
        self.pop(key)
        weight = self._weigh(value)
        if weight > self._most:
            return
        self._values[key] = value, weight
        self._weight += weight
        while self._weight > self._most:
            _, (_, dropped) = self._values.popitem(last=False)
            self._weight -= dropped

    def pop(self, key: K) -> V | None:
        """Drop and return a value; None for an unknown key."""
        found = self._values.pop(key, None)
        if found is None:
            return None
        self._weight -= found[1]
        return found[0]

    def clear(self) -> None:
        """Drop all values."""
        self._values.clear()
        self._weight = 0
