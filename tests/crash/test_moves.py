"""Eight writers in four processes write while streams move, and the mover is killed again and again."""

from __future__ import annotations

import asyncio
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from itertools import permutations
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import stowfast
from stowfast import moving
from stowfast.abc import Query
from tests.amount import part

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import PostgresServer
    from tests.services.s3 import S3Server

STREAMS, WRITERS, KILLS = 150, 4, part(50, 6)
PAIRS = ["sqlite-sqlite", *("-".join(pair) for pair in permutations(("sqlite", "s3", "postgres"), 2))]

# Each line is one write to the pipe, made after the commit was acknowledged: "stream text seconds".
WRITER = """
import asyncio, os, random, sys, time
import stowfast
from stowfast.errors import UnavailableError

url, name, streams = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def write(stores, name):
    chance, number = random.Random(name), 0
    while True:
        stream, text, began = f"c{chance.randrange(streams)}", f"{name}.{number}", time.monotonic()
        while True:
            try:
                await stores.messages.add_message(stream, {"text": text}, op_id=text)
                break
            except UnavailableError:
                pass
        os.write(1, f"{stream} {text} {time.monotonic() - began:.3f}\\n".encode())
        number += 1

async def main():
    async with stowfast.open(url) as stores:
        await asyncio.gather(write(stores, name + "a"), write(stores, name + "b"))

asyncio.run(main())
"""

MOVER = """
import asyncio, os, sys
from stowfast import moving

def tell(done):
    if done.streams:  # before the first one the names are counted
        os.write(1, b".")

done = asyncio.run(moving.move(sys.argv[1], sys.argv[2], progress=tell))
assert done.complete, done.differences
"""


def moved_in_part(source: str, target: str, delay: float) -> bool:
    """Run a mover, and kill it so long after its first stream. Return True if it was killed."""
    with subprocess.Popen([sys.executable, "-c", MOVER, source, target], stdout=subprocess.PIPE) as mover:
        assert mover.stdout is not None
        ready, _, _ = select.select([mover.stdout], [], [], 120)
        assert ready, "the mover says nothing"
        try:
            return mover.wait(delay) != 0
        except subprocess.TimeoutExpired:
            mover.send_signal(signal.SIGKILL)
            return mover.wait() == -signal.SIGKILL


def writer(url: str, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, url, name, str(STREAMS)], stdout=subprocess.PIPE)


def acknowledged(process: subprocess.Popen[bytes]) -> list[tuple[str, str, float]]:
    assert process.stdout is not None
    lines = process.stdout.read().decode().split("\n")[:-1]
    return [(stream, text, float(seconds)) for stream, text, seconds in (line.split() for line in lines)]


@pytest.mark.timeout(600)
@pytest.mark.soak
@pytest.mark.parametrize("kind", PAIRS)
async def test_nothing_is_lost_or_doubled_while_streams_move(
    kind: str, tmp_path: Path, s3_server: S3Server, postgres_server: PostgresServer
) -> None:
    urls = {"s3": s3_server.url(), "postgres": postgres_server.url(), "sqlite": f"sqlite:///{tmp_path}/one.db"}
    begin, end = kind.split("-")
    source, target = urls[begin], f"sqlite:///{tmp_path}/two.db" if end == "sqlite" else urls[end]
    async with stowfast.open(source) as stores:
        for number in range(STREAMS):
            await stores.messages.add_messages(f"c{number}", [{"text": f"first.{n}"} for n in range(20)])
    both = f"moving:?from={quote(source, safe='')}&to={quote(target, safe='')}"
    chance, kills, began = random.Random(kind), 0, time.monotonic()
    with ExitStack() as stack:
        writers = [stack.enter_context(writer(both, f"w{number}")) for number in range(WRITERS)]
        try:
            readers = asyncio.gather(*(asyncio.to_thread(acknowledged, one) for one in writers))
            while kills < KILLS and await asyncio.to_thread(moved_in_part, source, target, chance.random() * 0.15):
                kills += 1
            await asyncio.to_thread(moved_in_part, source, target, 300)
            assert all(one.poll() is None for one in writers), "a writer failed"
        finally:
            for one in writers:
                one.send_signal(signal.SIGKILL)
        answers = [one for each in await readers for one in each]
    told = [(stream, text) for stream, text, _ in answers]
    waits = sorted(seconds for *_, seconds in answers)
    async with stowfast.open(source) as old, stowfast.open(target) as new:
        assert (await old.backend.streams(Query(""))).streams == []
        assert (await moving.verify(new)).sound
        found: Counter[tuple[str, str]] = Counter()
        for number in range(STREAMS):
            messages = await new.messages.get_messages(f"c{number}")
            texts = [message["text"] for message in messages]
            assert texts[:20] == [f"first.{n}" for n in range(20)]
            for name in {text.split(".")[0] for text in texts[20:]}:
                mine = [int(text.split(".")[1]) for text in texts[20:] if text.startswith(f"{name}.")]
                assert mine == sorted(mine), "reordered"
            found.update((f"c{number}", text) for text in texts[20:])
    lost = [one for one in told if found[one] == 0]
    doubled = [one for one, count in found.items() if count > 1]
    print(f"\n{kind}: {kills} kills of the mover, {len(told):,} messages acknowledged meanwhile, "
          f"{sum(found.values()):,} found, {len(lost)} lost, {len(doubled)} doubled, "
          f"a commit took {waits[len(waits) // 2]:.3f} s, the longest {waits[-1]:.2f} s, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    assert (lost, doubled) == ([], [])
