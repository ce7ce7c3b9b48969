"""A pytest plugin for LangGraph's own tests: every checkpointer of theirs is a `StowfastSaver`."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from swapping import fresh_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# No servers of theirs: then the fixtures have the checkpointers of memory and SQLite alone.
os.environ["NO_DOCKER"] = "true"

KEY = b"1234567890123456"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put ours in place before their `conftest.py` is imported."""
    from langgraph.checkpoint import memory

    from stowfast.adapters.langgraph import StowfastSaver

    class Swapped(StowfastSaver):
        """Ours with the constructor of `InMemorySaver`, whose async methods call the sync ones.

        Their tests override a sync method alone.
        """

        def __init__(self, *, serde: Any = None, factory: Any = None) -> None:
            super().__init__(unused(), serde=serde or permissive())
            self.stack = ExitStack()

        def put(self, *arguments: Any) -> Any:
            return self._opener.run(super().aput(*arguments))

        def get_tuple(self, config: Any) -> Any:
            return self._opener.run(super().aget_tuple(config))

        async def aput(self, *arguments: Any) -> Any:
            own = type(self).put is not Swapped.put
            return self.put(*arguments) if own else await super().aput(*arguments)

        async def aget_tuple(self, config: Any) -> Any:
            own = type(self).get_tuple is not Swapped.get_tuple
            return self.get_tuple(config) if own else await super().aget_tuple(config)

        def get_delta_channel_history(self, **named: Any) -> Any:
            return self._opener.run(super().aget_delta_channel_history(**named))

        async def aget_delta_channel_history(self, **named: Any) -> Any:
            own = type(self).get_delta_channel_history is not Swapped.get_delta_channel_history
            return self.get_delta_channel_history(**named) if own else await super().aget_delta_channel_history(**named)

    memory.InMemorySaver = memory.MemorySaver = Swapped  # type: ignore[misc,assignment]
    for module, name, make in (("", "SqliteSaver", plain), (".aio", "AsyncSqliteSaver", aio)):
        shipped = getattr(importlib.import_module(f"langgraph.checkpoint.sqlite{module}"), name)
        shipped.from_conn_string = lambda _, make=make: make()


def pytest_collection() -> None:
    """Put ours into the fixtures of the engine's tests."""
    conftest = sys.modules.get("tests.conftest")
    if hasattr(conftest, "_checkpointer_sqlite_aes"):
        conftest._checkpointer_sqlite = plain  # type: ignore[union-attr]
        conftest._checkpointer_sqlite_aes = encrypted  # type: ignore[union-attr]
        conftest._checkpointer_sqlite_aio = aio  # type: ignore[union-attr]


def unused() -> Any:
    """Return an unused place. Savers with one URL share it, so memory has no URL of its own here."""
    import stowfast

    url = fresh_url()
    return stowfast.sync.open(url) if url == "memory:" else url


def permissive() -> Any:
    """LangGraph's own default: all types, or in its strict mode the safe ones."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    return JsonPlusSerializer()


@contextmanager
def plain() -> Iterator[Any]:
    from stowfast.adapters.langgraph import StowfastSaver

    with StowfastSaver(unused(), serde=permissive()) as saver:
        yield saver


@contextmanager
def encrypted() -> Iterator[Any]:
    from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

    from stowfast.adapters.langgraph import StowfastSaver

    serde = EncryptedSerializer.from_pycryptodome_aes(serde=permissive(), key=KEY)
    with StowfastSaver(unused(), serde=serde) as saver:
        yield saver


@asynccontextmanager
async def aio() -> AsyncIterator[Any]:
    from stowfast.adapters.langgraph import StowfastSaver

    async with StowfastSaver(unused(), serde=permissive()) as saver:
        yield saver
