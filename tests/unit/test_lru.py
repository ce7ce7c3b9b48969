"""The bounded cache keeps the values used last, and never more than its total weight."""

from __future__ import annotations

from stowfast.lru import LRU


def kept(cache: LRU[int, str]) -> list[int]:
    return [key for key in range(10) if cache.get(key) is not None]


def test_the_value_unused_for_the_longest_time_goes_first() -> None:
    cache: LRU[int, str] = LRU(3)
    for key in (1, 2, 3):
        cache.put(key, "x")
    assert cache.get(1) == "x"
    cache.put(4, "x")
    assert kept(cache) == [1, 3, 4]


def test_the_total_weight_is_never_above_the_bound() -> None:
    cache: LRU[int, str] = LRU(10, len)
    for key, length in enumerate((4, 4, 4, 9, 1)):
        cache.put(key, "x" * length)
    assert kept(cache) == [3, 4]


def test_a_value_above_the_bound_is_not_kept_and_drops_no_other() -> None:
    cache: LRU[int, str] = LRU(10, len)
    cache.put(1, "xxxx")
    cache.put(2, "xxxx")
    cache.put(2, "x" * 11)
    assert kept(cache) == [1]


def test_a_replaced_or_dropped_value_gives_its_weight_back() -> None:
    cache: LRU[int, str] = LRU(10, len)
    for _ in range(9):
        cache.put(1, "xxxxx")
        cache.put(2, "xxxx")
        assert cache.pop(2) == "xxxx"
    assert cache.pop(2) is None
    cache.put(3, "xxxxx")
    assert kept(cache) == [1, 3]
    cache.clear()
    assert kept(cache) == []
