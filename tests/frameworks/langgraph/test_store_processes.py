"""Several processes on one store, and processes that are killed."""

from __future__ import annotations

import uuid

from stowfast.adapters.langgraph import StowfastStore
from tests.frameworks.children import KILLABLE, check_writers, kill_writers, race

ITEMS, KILLS = 12, 6

# Puts numbered items, and tells each number after its answer. Every item has a copy that all processes overwrite.
PUTS = """
import os, sys
from stowfast.adapters.langgraph import StowfastStore

url, scope, name, start, stop = *sys.argv[1:4], *map(int, sys.argv[4:])
with StowfastStore(url, scope=scope) as store:
    os.write(1, b"opened\\n")
    for number in range(start, stop):
        store.put(("shared",), "last", {"by": name, "number": number})
        store.put(("by", name), str(number), {"number": number})
        os.write(1, f"{number}\\n".encode())
"""


def test_two_processes_lose_nothing(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    ended = race(PUTS, *[[shared_url, scope, name, "0", str(ITEMS)] for name in ("one", "two")])
    assert ended == [["opened", *map(str, range(ITEMS))]] * 2
    with StowfastStore(shared_url, scope=scope) as store:
        for name in ("one", "two"):
            found = store.search(("by", name), limit=100)
            assert sorted(item.value["number"] for item in found) == list(range(ITEMS))
        last = store.get(("shared",), "last")
        assert last is not None
        assert last.value["number"] == ITEMS - 1
        assert store.list_namespaces() == [("by", "one"), ("by", "two"), ("shared",)]


@KILLABLE
def test_an_acknowledged_item_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(PUTS, KILLS, lambda name: [shared_url, scope, name, "0", "10000"], 12)
    with StowfastStore(shared_url, scope=scope) as store:
        found = {
            name: sorted(item.value["number"] for item in store.search(("by", name), limit=1_000)) for name in told
        }
    check_writers(shared_url, told, found)
