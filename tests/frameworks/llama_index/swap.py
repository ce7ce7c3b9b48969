"""A pytest plugin that puts Stowfast in the place of LlamaIndex's own chat store."""

from __future__ import annotations

from typing import Any

import pytest
from swapping import fresh_url

import stowfast
from stowfast.adapters.llama_index import StowfastChatStore


class Swapped(StowfastChatStore):
    """Takes the arguments of `SQLAlchemyChatStore`."""

    table_name: str = ""

    def __init__(self, table_name: str, **_: Any) -> None:
        super().__init__(stowfast.sync.open(fresh_url()))
        self.table_name = table_name


def pytest_configure() -> None:
    """Swap the class before the suites import it."""
    from llama_index.core.memory import memory
    from llama_index.core.storage.chat_store import sql

    place = pytest.MonkeyPatch()
    for module in (sql, memory):
        place.setattr(module, "SQLAlchemyChatStore", Swapped)
