"""A writer is killed 200 times at random moments: every acknowledged message is there, once, in order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.backends.sqlite.backend import SQLiteBackend
from tests.amount import part

if TYPE_CHECKING:
    from pathlib import Path

FEW_KILLS, MANY_KILLS, FILES = 20, 2 * part(100), 2
MODES = ("single", "gather", "named", "stores")
STREAMS = {mode: f"crash/{mode}" for mode in MODES[:3]}

# Every line is one write to the pipe, made after the commit was acknowledged: "mode text position".
CHILD = """
import asyncio, os, sys
import stowfast
from stowfast.abc import Change
from stowfast.backends.sqlite.backend import SQLiteBackend

url, mode, writer, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
stream = "crash/" + mode

def acknowledge(text, position):
    os.write(1, f"{text} {position}\\n".encode())

async def single(place, name, number):
    while True:
        text = f"{name}:{number}"
        receipt = await place.commit(stream, Change([text.encode()]))
        acknowledge(text, receipt.first)
        number += 1

async def named(place, number):
    while True:
        text = f"all:{number}"
        receipt = await place.commit(stream, Change([text.encode()], op_id=f"op-{number}"))
        acknowledge(text, receipt.first)
        number += 1

async def stores(number):
    async with stowfast.open(url) as kept:
        while True:
            text = f"all:{number}"
            acknowledge(text, await kept.messages.add_message("crash", {"text": text}, op_id=f"op-{number}"))
            number += 1

async def main():
    acknowledge("opening", 0)
    if mode == "stores":
        await stores(number)
    place = await SQLiteBackend.open(url)
    if mode == "single":
        await single(place, writer, 0)
    elif mode == "gather":
        await asyncio.gather(*(single(place, f"{writer}.{task}", 0) for task in range(8)))
    else:
        await named(place, number)

asyncio.run(main())
"""


class Acknowledged:
    """The acknowledged calls of the writers of one file, and how they are found again."""

    def __init__(self, path: Path, seed: int) -> None:
        self.url = f"sqlite:///{path}"
        self.path = path
        self.random = random.Random(seed)
        self.said: dict[str, dict[str, int]] = {mode: {} for mode in MODES}
        self.counts: Counter[str] = Counter()

    def kill_often(self, kills: int) -> None:
        for kill in range(kills):
            mode = MODES[kill % len(MODES)]
            self.kill_one(mode, f"w{kill}")
            asyncio.run(self.check())

    def kill_one(self, mode: str, writer: str) -> None:
        """Start a writer, kill it after some acknowledgements and a moment more, and keep all its output."""
        following = str(len(self.said[mode]))  # what a named writer repeats: its last call may have been done
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, self.url, mode, writer, following], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        wanted = 0 if self.random.random() < 0.15 else self.random.randrange(1, 60)
        lines = [child.stdout.readline() for _ in range(wanted + 1)]
        moment = time.perf_counter_ns() + self.random.randrange(0, 3_000_000)
        while time.perf_counter_ns() < moment:
            pass
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL, f"the writer ended by itself, see its traceback: {lines}"
        for line in lines[1:]:
            text, position = line.decode().split()
            assert self.said[mode].get(text, int(position)) == int(position), "a repeat was told another position"
            self.said[mode][text] = int(position)
        self.counts["kills"] += 1
        self.counts["acknowledged"] += len(lines) - 1

    async def check(self) -> None:
        place = await SQLiteBackend.open(self.url)
        found = {mode: await place.read(stream) for mode, stream in STREAMS.items()}
        await place.close()
        texts = {mode: [entry.data.decode() for entry in found[mode].entries] for mode in STREAMS}
        for mode in STREAMS:
            assert [entry.position for entry in found[mode].entries] == list(range(len(texts[mode])))
        async with stowfast.open(self.url) as stores:
            texts["stores"] = [message["text"] for message in await stores.messages.get_messages("crash")]
        for mode in MODES:
            self.check_one(self.said[mode], texts[mode])
        self.counts["found"] = sum(map(len, texts.values()))
        self.counts["found, never acknowledged"] = self.counts["found"] - sum(map(len, self.said.values()))

    def check_one(self, said: dict[str, int], texts: list[str]) -> None:
        assert len(texts) == len(set(texts)), "a message is there twice"
        assert {text: texts[position] for text, position in said.items() if position < len(texts)} == {
            text: text for text in said
        }, "an acknowledged message is not in its place"
        numbers: dict[str, list[int]] = {}
        for text in texts:
            writer, _, number = text.partition(":")
            numbers.setdefault(writer, []).append(int(number))
        for writer, written in numbers.items():
            assert written == list(range(len(written))), f"{writer} wrote in another order, or left a gap"
            unsaid = [number for number in written if f"{writer}:{number}" not in said]
            assert unsaid in ([], [written[-1]]), f"{writer} has more than its last message without an answer"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("kills", [FEW_KILLS, pytest.param(MANY_KILLS, marks=pytest.mark.soak)])
def test_what_was_acknowledged_outlives_kill_minus_nine(tmp_path: Path, kills: int) -> None:
    files = [Acknowledged(tmp_path / f"crash-{number}.db", seed=number) for number in range(FILES)]
    with ThreadPoolExecutor(FILES) as threads:
        list(threads.map(lambda file: file.kill_often(kills // FILES), files))
    for file in files:
        connection = sqlite3.connect(file.path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    total = sum((file.counts for file in files), Counter())
    print(", ".join(f"{what}: {count:,}" for what, count in total.items()))
    assert total["kills"] == kills
    assert total["acknowledged"] > kills
    assert total["found"] >= sum(len(said) for file in files for said in file.said.values())
