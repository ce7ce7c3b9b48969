"""A real S3 server, real conversations, and killed processes: no acknowledged write is lost."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from tests.amount import part
from tests.unit.stores.test_replay import batches, report, written

if TYPE_CHECKING:
    from tests.services.s3 import S3Gateway, S3Server

    Conversations = list[dict[str, Any]]

WRITERS = 8
PROCESSES, APPENDS = 8, 100
SPAWNED = 4
KILLS = SPAWNED * part(25)

# Each line it prints is one write to the pipe, made after the call was answered: "text position". What was not
# answered is repeated under its name, as long as it takes.
WRITER = """
import asyncio, os, sys
import stowfast

url, name, start, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def main():
    async with stowfast.open(url, timeout=3) as stores:
        os.write(1, b"ready\\n")
        sys.stdin.readline()
        for number in range(start, stop):
            text, again = f"{name}:{number}", 0
            while True:
                try:
                    position = await stores.messages.add_message("all", {"text": text}, op_id=text)
                    break
                except stowfast.UnavailableError:
                    again += 1
            os.write(1, f"{text} {position} {again}\\n".encode())

asyncio.run(main())
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    process.stdin.write("go\n")
    process.stdin.flush()


async def all_messages(url: str) -> list[str]:
    """The content of the shared conversation: each position once, each under the op_id of its call."""
    async with stowfast.open(url) as stores:
        entries = [entry async for entry in stores.messages.entries("all")]
    assert [entry.position for entry in entries] == list(range(len(entries)))
    assert all(entry.op_id == entry.message["text"] for entry in entries)
    return [entry.message["text"] for entry in entries]


def check(texts: list[str], said: dict[str, int]) -> None:
    assert len(texts) == len(set(texts)), "a message is there twice"
    missing = [text for text, position in said.items() if texts[position : position + 1] != [text]]
    assert missing == [], "an acknowledged message is not in its place"
    numbers: dict[str, list[int]] = {}
    for text in texts:
        writer, _, number = text.partition(":")
        numbers.setdefault(writer, []).append(int(number))
    assert all(sorted(one) == one for one in numbers.values()), "somebody's messages are in another order"


@pytest.mark.parametrize(
    "batched", [pytest.param(False, marks=pytest.mark.soak), True], ids=["one-by-one", "in-batches"]
)
async def test_real_conversations_by_several_writers(
    s3_server: S3Server, airline: Conversations, batched: bool
) -> None:
    url = s3_server.url()

    async def write(number: int) -> None:
        async with stowfast.open(url) as stores:
            for one in airline[number::WRITERS]:
                for batch in batches(one["messages"]) if batched else [[message] for message in one["messages"]]:
                    await stores.messages.add_messages(one["context_id"], batch)

    await asyncio.gather(*map(write, range(WRITERS)))
    async with stowfast.open(url) as stores:
        ids = [one["context_id"] for one in airline]
        found = await asyncio.gather(*map(stores.messages.get_messages, ids))
        report(dict(zip(ids, found, strict=True)), airline, f"{s3_server.kind}, {WRITERS} writers")
        assert sorted(ref.context_id for ref in await stores.messages.contexts(limit=1_000)) == sorted(ids)


async def test_real_conversations_in_one(s3_server: S3Server, airline: Conversations) -> None:
    url = s3_server.url()

    async def write(number: int) -> None:
        async with stowfast.open(url) as stores:
            for one in airline[number::WRITERS]:
                await stores.messages.add_messages("all", one["messages"], op_id=one["context_id"])

    await asyncio.gather(*map(write, range(WRITERS)))
    async with stowfast.open(url) as stores:
        found = await stores.messages.get_messages("all")
    assert len(found) == sum(len(one["messages"]) for one in airline)
    text = written(found)
    assert all(written(one["messages"])[1:-1] in text for one in airline), "a conversation was torn"


@pytest.mark.soak
async def test_the_gateway_is_killed_while_eight_processes_write(s3_gateway: S3Gateway) -> None:
    url = s3_gateway.url()
    writers = [start(WRITER, url, f"w{number}", "0", str(APPENDS)) for number in range(PROCESSES)]
    try:
        for writer in writers:
            begin(writer)
        kills = 0
        # Once for longer than a call is patient, so that its caller has to repeat it.
        for pause, outage in ((0.7, 5.0), (0.7, 0.0), (0.7, 0.0)):
            await asyncio.sleep(pause)
            if any(writer.poll() is None for writer in writers):
                s3_gateway.kill()
                await asyncio.sleep(outage)
                s3_gateway.restart()
                kills += 1
        ended = [await asyncio.to_thread(writer.communicate, timeout=80) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    assert [writer.returncode for writer in writers] == [0] * PROCESSES, ended
    lines = [line.split() for out, _ in ended for line in out.splitlines()]
    said = {text: int(position) for text, position, _ in lines}
    repeats = sum(int(again) for _, _, again in lines)
    texts = await all_messages(url)
    print(f"{kills} kills, {len(said)} acknowledged, {repeats} repeats, {len(texts)} found")
    assert kills >= 1
    assert repeats >= 1
    assert len(said) == len(texts) == PROCESSES * APPENDS
    check(texts, said)


@pytest.mark.soak
async def test_writers_are_killed_a_hundred_times(s3_server: S3Server) -> None:
    url = s3_server.url()
    said: dict[str, int] = {}
    counts: Counter[str] = Counter()

    def kill_often(seed: int) -> None:
        """One writer after the other; each repeats the last call of the one before, done or not."""
        draw, name, following = random.Random(seed), f"w{seed}", 0
        for _ in range(KILLS // SPAWNED):
            writer = start(WRITER, url, name, str(following), "1000000")
            begin(writer)
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(draw.randrange(12))]
            time.sleep(draw.random() * 0.03)
            writer.kill()
            lines += writer.stdout.readlines()  # communicate() alone would miss the lines already in its buffer
            _, error = writer.communicate()
            assert writer.returncode == -signal.SIGKILL, error
            for text, position, _ in map(str.split, lines):
                assert said.setdefault(text, int(position)) == int(position)
                following = int(text.partition(":")[2]) + 1
            counts["kills"] += 1

    await asyncio.gather(*(asyncio.to_thread(kill_often, seed) for seed in range(SPAWNED)))
    texts = await all_messages(url)
    print(f"{counts['kills']} kills, {len(said)} acknowledged, {len(texts)} found")
    check(texts, said)
    assert len(texts) - len(said) <= SPAWNED, "only the last call of each may be there unacknowledged"
    assert counts["kills"] == KILLS
