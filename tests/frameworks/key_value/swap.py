"""A pytest plugin that puts Stowfast in the place of py-key-value's own store in memory."""

from __future__ import annotations

from typing import Any

import pytest
from swapping import fresh_url

import stowfast
from stowfast.adapters.key_value import StowfastKeyValueStore


class Swapped(StowfastKeyValueStore):
    """Takes the arguments of `MemoryStore`; no number of entries makes it forget one."""

    def __init__(self, *, max_entries_per_collection: int | None = None, **options: Any) -> None:
        del max_entries_per_collection
        super().__init__(stowfast.sync.open(fresh_url()), **options)


def pytest_configure() -> None:
    """Swap the class before the tests import it."""
    from key_value.aio.stores import memory
    from key_value.aio.stores.memory import store

    place = pytest.MonkeyPatch()
    for module in (memory, store):
        place.setattr(module, "MemoryStore", Swapped)
