"""Writers and a reader of a feed are killed at random moments: each acknowledged write is told, at least once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import pytest

import stowfast
from tests.amount import part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITERS, CONTEXTS = 3, 12
FEW_ROUNDS, MANY_ROUNDS = 2, part(25)

# Each line is one write to the pipe, made after the write was acknowledged: "context position".
WRITER = f"""
import os, random, sys
import stowfast.sync

with stowfast.sync.open(sys.argv[1]) as stores:
    os.write(1, b"open 0\\n")
    chance = random.Random(sys.argv[2])
    while True:
        context = f"context-{{chance.randrange({CONTEXTS})}}"
        position = stores.messages.add_message(context, {{}})
        os.write(1, f"{{context}} {{position}}\\n".encode())
"""

# The cursor is kept once the items are handled: here, once they are written to the pipe.
READER = """
import os, sys
from datetime import timedelta
import stowfast.sync

kept = sys.argv[2]
cursor = open(kept).read() if os.path.exists(kept) else None
with stowfast.sync.open(sys.argv[1]) as stores:
    os.write(1, b"open 0\\n")
    while True:
        page = stores.changes("messages", after=cursor, limit=5, wait=timedelta(seconds=1))
        os.write(1, "".join(f"{one.id} {one.token}\\n" for one in page).encode())
        cursor = page.cursor
        with open(f"{kept}.new", "w") as file:
            file.write(cursor)
        os.replace(f"{kept}.new", kept)
"""


class Child(NamedTuple):
    """A process that writes lines until it is killed."""

    process: subprocess.Popen[bytes]
    lines: list[bytes]

    @classmethod
    def start(cls, script: str, *arguments: str) -> Child:
        return cls(subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE), [])

    def read(self, count: int) -> None:
        assert self.process.stdout is not None
        for _ in range(count):
            line = self.process.stdout.readline()
            assert line, f"it ended by itself: {self.lines[-3:]}"
            self.lines.append(line)

    def kill(self) -> list[tuple[str, str]]:
        """Kill it, and return all it said."""
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            self.lines.extend(pipe.readlines())
        assert self.process.wait() == -signal.SIGKILL, f"it ended by itself: {self.lines[-3:]}"
        said = [line.decode().split() for line in self.lines if line.endswith(b"\n")]
        return [(name, rest) for name, rest in said if name != "open"]

    def end(self) -> None:
        """End it, if a failed check left it running."""
        assert self.process.stdout is not None
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Followed:
    """The acknowledged writes to one place, and the states that readers were told."""

    def __init__(self, url: str, folder: Path, seed: int) -> None:
        self.url = url
        self.kept = folder / "cursor"
        self.random = random.Random(seed)
        self.written: dict[str, int] = {}
        self.told: dict[str, set[str]] = {}
        self.counts: Counter[str] = Counter()

    def kill_often(self, rounds: int) -> None:
        for number in range(rounds):
            writers = [Child.start(WRITER, self.url, f"{number}-{one}") for one in range(WRITERS)]
            reader = Child.start(READER, self.url, str(self.kept))
            children = [(writer, self.wrote) for writer in writers] + [(reader, self.was_told)]
            self.random.shuffle(children)
            try:
                for child, hear in children:
                    self.kill_one(child, hear)
            finally:
                for child, _ in children:
                    child.end()
        self.counts["told before the end"] = self.counts["told"]
        asyncio.run(self.read_to_the_end())

    def kill_one(self, child: Child, hear: Callable[[str, str], None]) -> None:
        child.read(self.random.randrange(2, 40))
        moment = time.perf_counter_ns() + self.random.randrange(0, 3_000_000)
        while time.perf_counter_ns() < moment:
            pass
        for name, rest in child.kill():
            hear(name, rest)
        self.counts["kills"] += 1

    def wrote(self, context: str, position: str) -> None:
        self.written[context] = max(self.written.get(context, -1), int(position))
        self.counts["acknowledged"] += 1

    def was_told(self, context: str, token: str) -> None:
        self.told.setdefault(context, set()).add(token)
        self.counts["told"] += 1

    async def read_to_the_end(self) -> None:
        cursor: str | None = self.kept.read_text(encoding="utf-8") if self.kept.exists() else None
        async with stowfast.open(self.url) as stores:
            more = True
            while more:
                page = await stores.changes("messages", after=cursor, limit=5)
                for one in page:
                    self.was_told(one.id, str(one.token))
                cursor, more = page.cursor, page.more
            for context, position in self.written.items():
                told = max(int(token.split(":")[1]) for token in self.told[context])
                assert told > position, f"{context}: the write at {position} was never told, only those below {told}"
                self.counts["found"] += 1
            assert not (await stores.changes("messages", after=cursor)).items


def follow(url: str, folder: Path, rounds: int) -> None:
    followed = Followed(url, folder, seed=rounds)
    followed.kill_often(rounds)
    print(", ".join(f"{what}: {count:,}" for what, count in followed.counts.items()))
    assert followed.counts["kills"] == rounds * (WRITERS + 1)
    assert followed.counts["acknowledged"] >= rounds * WRITERS
    assert followed.counts["told before the end"] > 0
    assert followed.counts["found"] == len(followed.written) > 1


ROUNDS = pytest.mark.parametrize("rounds", [FEW_ROUNDS, pytest.param(MANY_ROUNDS, marks=pytest.mark.soak)])


@pytest.mark.timeout(400)
@ROUNDS
def test_each_acknowledged_write_is_told_on_sqlite(tmp_path: Path, rounds: int) -> None:
    follow(f"sqlite:///{tmp_path}/feed.db", tmp_path, rounds)


@pytest.mark.timeout(400)
@ROUNDS
def test_each_acknowledged_write_is_told_on_postgres(tmp_path: Path, rounds: int, postgres_server) -> None:
    follow(postgres_server.url(f"f{uuid4().hex}"), tmp_path, rounds)


@pytest.mark.timeout(400)
@ROUNDS
def test_each_acknowledged_write_is_told_in_a_bucket(tmp_path: Path, rounds: int, s3_server) -> None:
    follow(s3_server.url(uuid4().hex), tmp_path, rounds)
