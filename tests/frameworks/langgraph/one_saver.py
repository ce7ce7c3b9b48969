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
    order = items if config.pluginmanager.has_plugin("strict") else items[::-1]
    chosen = {SAVERS.sub("", item.nodeid): item for item in order}  # the last one stays
    left = [item for item in items if chosen[SAVERS.sub("", item.nodeid)] is not item]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if chosen[SAVERS.sub("", item.nodeid)] is item]
