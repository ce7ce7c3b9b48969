"""A pytest plugin for LangGraph's own tests: of tests that differ in the name of their saver alone, one runs.

All names are ours here. It is the saver in memory, whose sync methods serve its async ones; in strict mode it is the
encrypted or the async saver.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SAVERS = re.compile(r"(?<=[\[-])(memory|sqlite_aes|sqlite_aio|sqlite)(?=[\]-])")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = items if config.pluginmanager.has_plugin("strict") else reversed(items)
    chosen = set({SAVERS.sub("", item.nodeid): item for item in order}.values())  # of one name, the last one
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]
