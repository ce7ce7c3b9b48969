"""A process pops and replaces, and is killed at random moments: each message is popped once, and none is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import stowfast.sync
from tests.amount import part

if TYPE_CHECKING:
    from pathlib import Path

FEW_KILLS, MANY_KILLS, MESSAGES = 12, part(100, 13), 3_000

# Every line is one call to the pipe, after its answer: "number of the call, number of the message".
POPS = """
import os, sys
import stowfast.sync

url, number = sys.argv[1], int(sys.argv[2])
os.write(1, b"opening\\n")
with stowfast.sync.open(url) as stores:
    while (message := stores.messages.pop_message("c", op_id=f"op-{number}")) is not None:
        os.write(1, f"{number} {message['n']}\\n".encode())
        number += 1
"""

# Reads a state, and puts one that follows from it in its place, with its metadata, or does nothing.
REPLACES = """
import os, sys
import stowfast.sync

url = sys.argv[1]
os.write(1, b"opening\\n")
with stowfast.sync.open(url) as stores:
    while True:
        found = stores.messages.read("c")
        number = found.info.metadata["n"] + 1
        rest = [{"by": number}] * (1 + number % 3)
        stores.messages.replace_messages("c", rest, start=0, if_token=found.info.token, op_id=f"op-{number}")
        stores.messages.update_metadata("c", {"n": number})
        os.write(1, f"{number} {number}\\n".encode())
"""


def killed(script: str, url: str, number: int, randomness: random.Random) -> list[tuple[int, int]]:
    """Start a process, kill it after some answers and a moment more, and return all its answers."""
    child = subprocess.Popen([sys.executable, "-c", script, url, str(number)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(randomness.randrange(1, 40))]
    moment = time.perf_counter_ns() + randomness.randrange(0, 2_000_000)
    while time.perf_counter_ns() < moment:
        pass
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL, f"the process ended by itself: {lines}"
    return [(int(call), int(message)) for call, message in (line.split() for line in lines[1:])]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("kills", [FEW_KILLS, pytest.param(MANY_KILLS, marks=pytest.mark.soak)])
def test_each_message_is_popped_by_one_call_and_none_is_lost(tmp_path: Path, kills: int) -> None:
    url, randomness = f"sqlite:///{tmp_path / 'pops.db'}", random.Random(kills)
    with stowfast.sync.open(url) as stores:
        stores.messages.add_messages("c", [{"n": number} for number in range(MESSAGES)])
    told: dict[int, int] = {}
    counts: Counter[str] = Counter()
    for _ in range(kills):
        for call, message in killed(POPS, url, len(told), randomness):
            assert told.setdefault(call, message) == message
            counts["acknowledged"] += 1
        with stowfast.sync.open(url) as stores:
            left = [message["n"] for message in stores.messages.get_messages("c")]
            # The call that was under way is repeated by the next process: it may be done, and nobody was told.
            assert left == list(range(len(left)))
            assert len(told) <= MESSAGES - len(left) <= len(told) + 1
            counts["done, and never acknowledged"] += MESSAGES - len(left) - len(told)
        counts["kills"] += 1
    with stowfast.sync.open(url) as stores:
        call = len(told)
        told[call] = _popped(stores.messages.pop_message("c", op_id=f"op-{call}"))
        left = [message["n"] for message in stores.messages.get_messages("c")]
    counts["found"] = len(left)
    print(", ".join(f"{what}: {count:,}" for what, count in counts.items()))
    assert [told[call] for call in range(len(told))] == list(reversed(range(len(left), MESSAGES)))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_replacement_is_whole_whatever_kills_its_process(tmp_path: Path) -> None:
    url, randomness = f"sqlite:///{tmp_path / 'replaced.db'}", random.Random(1)
    with stowfast.sync.open(url) as stores:
        stores.messages.add_message("c", {"by": 0}, metadata={"n": 0})
    counts: Counter[str] = Counter()
    for _ in range(FEW_KILLS):
        said = [number for number, _ in killed(REPLACES, url, 0, randomness)]
        counts["kills"] += 1
        counts["acknowledged"] += len(said)
        with stowfast.sync.open(url) as stores:
            found = stores.messages.read("c")
            assert found.info is not None
            by, noted = found.messages[0]["by"], found.info.metadata["n"]
            assert found.messages == [{"by": by}] * (1 + by % 3 if by else 1)
            assert noted <= by <= noted + 1
            assert not said or said[-1] <= noted <= said[-1] + 1
            stores.messages.update_metadata("c", {"n": by})
    print(", ".join(f"{what}: {count:,}" for what, count in counts.items()))
    assert counts["acknowledged"] > FEW_KILLS


def _popped(message: dict[str, Any] | None) -> int:
    assert message is not None
    return int(message["n"])
