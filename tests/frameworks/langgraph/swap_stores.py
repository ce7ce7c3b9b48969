"""A pytest plugin for LangGraph's own tests of stores: every store of theirs is a `StowfastStore`."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from swapping import fresh_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stowfast import Stores, sync

WITHOUT_VECTORS = (
    *("test_basic_store_operations", "test_list_namespaces_operations", "test_search_items"),
    *("test_basic_store_ops", "test_list_namespaces"),
)
"""Tests that make an index and search no vectors."""


def index_of_test(index: Any) -> Any:
    """Return the index of the test that runs; None if it needs none."""
    name = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].partition(" ")[0].partition("[")[0]
    return None if name in WITHOUT_VECTORS else index


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put ours in place before their tests are imported."""
    from langgraph.store import memory

    import stowfast
    from stowfast.adapters.langgraph import StowfastStore

    def unused() -> stowfast.sync.Stores:
        """Return unused stores. Openers of one URL share it, so memory is opened here."""
        return stowfast.sync.open(fresh_url())

    class InMemory(StowfastStore):
        """Ours with the constructor of `InMemoryStore`."""

        def __init__(self, *, index: Any = None) -> None:
            super().__init__(unused(), index=index)

    class Sync(StowfastStore):
        """Ours with the further methods of `SqliteStore`."""

        stores: sync.Stores

        @classmethod
        @contextmanager
        def from_conn_string(cls, _: str, *, index: Any = None, ttl: Any = None) -> Iterator[Sync]:
            with unused() as stores, cls(stores, index=index_of_test(index), ttl=ttl) as store:
                store.stores = stores
                yield store

        def setup(self) -> None:
            """Do nothing: there are no tables."""

        def sweep_ttl(self) -> int:
            return self.stores.sweep().streams

        def start_ttl_sweeper(self) -> None:
            """Do nothing: expired items are gone without it."""

        def stop_ttl_sweeper(self) -> None:
            """Do nothing."""

    class Async(StowfastStore):
        """Ours with the further methods of `AsyncSqliteStore`."""

        stores: Stores

        @classmethod
        @asynccontextmanager
        async def from_conn_string(cls, _: str, *, index: Any = None, ttl: Any = None) -> AsyncIterator[Async]:
            async with (
                await stowfast.open(fresh_url()) as stores,
                cls(stores, index=index_of_test(index), ttl=ttl) as store,
            ):
                store.stores = stores
                yield store

        async def setup(self) -> None:
            """Do nothing: there are no tables."""

        async def sweep_ttl(self) -> int:
            return (await self.stores.sweep()).streams

        async def start_ttl_sweeper(self) -> None:
            """Do nothing: expired items are gone without it."""

        async def stop_ttl_sweeper(self) -> None:
            """Do nothing."""

    memory.InMemoryStore = InMemory  # type: ignore[misc,assignment]
    try:
        from langgraph.store import sqlite
        from langgraph.store.sqlite import aio, base
    except ImportError:
        return
    sqlite.SqliteStore = base.SqliteStore = Sync  # type: ignore[misc,assignment]
    sqlite.AsyncSqliteStore = aio.AsyncSqliteStore = Async  # type: ignore[misc,assignment]
