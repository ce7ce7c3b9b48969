"""Several processes on one store, and processes that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid

import pytest

from stowfast.adapters.langgraph import StowfastStore

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


def begin(url: str, scope: str, name: str, start: int, stop: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-c", PUTS, url, scope, name, str(start), str(stop)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def told(child: subprocess.Popen[bytes]) -> list[int]:
    assert child.stdout is not None
    lines = child.stdout.readlines()
    child.stdout.close()
    return [int(line) for line in lines if line.strip().isdigit()]


def test_two_processes_lose_nothing(durable_url: str) -> None:
    scope = uuid.uuid4().hex
    children = [begin(durable_url, scope, name, 0, ITEMS) for name in ("one", "two")]
    for child in children:
        assert told(child) == list(range(ITEMS))
        assert child.wait() == 0
    with StowfastStore(durable_url, scope=scope) as store:
        for name in ("one", "two"):
            found = store.search(("by", name), limit=100)
            assert sorted(item.value["number"] for item in found) == list(range(ITEMS))
        last = store.get(("shared",), "last")
        assert last is not None
        assert last.value["number"] == ITEMS - 1
        assert store.list_namespaces() == [("by", "one"), ("by", "two"), ("shared",)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_an_acknowledged_item_outlives_a_kill(durable_url: str) -> None:
    scope, randomness, following, acknowledged = uuid.uuid4().hex, random.Random(KILLS), 0, 0
    with StowfastStore(durable_url, scope=scope) as store:
        for _ in range(KILLS):
            child = begin(durable_url, scope, "one", following, 10_000)
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(randomness.randrange(1, 12))]
            moment = time.perf_counter_ns() + randomness.randrange(0, 2_000_000)
            while time.perf_counter_ns() < moment:
                pass
            os.kill(child.pid, signal.SIGKILL)
            answered = [int(line) for line in lines if line.strip().isdigit()] + told(child)
            assert child.wait() == -signal.SIGKILL
            found = sorted(item.value["number"] for item in store.search(("by", "one"), limit=1_000))
            assert found == list(range(len(found)))
            assert len(found) - following - len(answered) in {0, 1}  # one may have been stored without an answer
            following, acknowledged = len(found), acknowledged + len(answered)
    print(f"{durable_url.partition(':')[0]}: kills {KILLS}, acknowledged {acknowledged}, found {following}")
    assert acknowledged > 0
