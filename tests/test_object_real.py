"""A real S3 server, real conversations, and what happens to processes: nothing that was acknowledged is lost."""

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

import holdfast
from tests.services.faulty_s3 import FaultyS3
from tests.test_replay import batches, report, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.s3 import S3Gateway, S3Server

    Conversations = list[dict[str, Any]]

WRITERS = 8
PROCESSES, APPENDS = 8, 100
KILLS, SPAWNED = 100, 4
SCRIPTS = 15

# Each line it prints is one write to the pipe, made after the call was answered: "text position". What was not
# answered is repeated under its name, as long as it takes.
WRITER = """
import asyncio, os, sys
import holdfast

url, name, start, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def main():
    async with holdfast.open(url, timeout=3) as stores:
        os.write(1, b"ready\\n")
        sys.stdin.readline()
        for number in range(start, stop):
            text, again = f"{name}:{number}", 0
            while True:
                try:
                    position = await stores.messages.add_message("all", {"text": text}, op_id=text)
                    break
                except holdfast.UnavailableError:
                    again += 1
            os.write(1, f"{text} {position} {again}\\n".encode())

asyncio.run(main())
"""

SYNC = """
import sys, time
import holdfast.sync

stores = holdfast.sync.open(sys.argv[1])
for number in range(3):
    stores.messages.add_message(sys.argv[2], {"n": number})
"""
# The three ways in which a script ends: as it should, without having closed anything, and by a signal.
ENDS = {"closed": "stores.close()", "left open": "", "waiting": "print('ready', flush=True); time.sleep(60)"}

INTERRUPTED = """
import sys
import holdfast.sync

with holdfast.sync.open(sys.argv[1]) as stores:
    print("ready", flush=True)
    number = 0
    try:
        while True:
            stores.messages.add_message("all", {"n": number})
            number += 1
            print(number, flush=True)
    except KeyboardInterrupt:
        # The place is as good as before: nothing is locked. The call that was interrupted is done, or is not, and if it
        # was under way it comes before what follows.
        stores.messages.add_message("all", {"n": "after"})
        found = [message["n"] for message in stores.messages.get_messages("all")]
        assert found in ([*range(number), "after"], [*range(number + 1), "after"]), (number, found)
        print("after", flush=True)
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
    """What is in the conversation that everybody wrote to: each position once, and each under its call's name."""
    async with holdfast.open(url) as stores:
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


@pytest.mark.parametrize("batched", [False, True], ids=["one-by-one", "in-batches"])
async def test_real_conversations_by_several_writers(
    s3_server: S3Server, airline: Conversations, batched: bool
) -> None:
    url = s3_server.url()

    async def write(number: int) -> None:
        async with holdfast.open(url) as stores:
            for one in airline[number::WRITERS]:
                for batch in batches(one["messages"]) if batched else [[message] for message in one["messages"]]:
                    await stores.messages.add_messages(one["context_id"], batch)

    await asyncio.gather(*map(write, range(WRITERS)))
    async with holdfast.open(url) as stores:
        ids = [one["context_id"] for one in airline]
        found = await asyncio.gather(*map(stores.messages.get_messages, ids))
        report(dict(zip(ids, found, strict=True)), airline, f"{s3_server.kind}, {WRITERS} writers")
        assert sorted(ref.context_id for ref in await stores.messages.contexts(limit=1_000)) == sorted(ids)


async def test_real_conversations_in_one(s3_server: S3Server, airline: Conversations) -> None:
    url = s3_server.url()

    async def write(number: int) -> None:
        async with holdfast.open(url) as stores:
            for one in airline[number::WRITERS]:
                await stores.messages.add_messages("all", one["messages"], op_id=one["context_id"])

    await asyncio.gather(*map(write, range(WRITERS)))
    async with holdfast.open(url) as stores:
        found = await stores.messages.get_messages("all")
    assert len(found) == sum(len(one["messages"]) for one in airline)
    text = written(found)
    assert all(written(one["messages"])[1:-1] in text for one in airline), "a conversation was torn"


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


async def test_writers_are_killed_a_hundred_times(s3_server: S3Server) -> None:
    url = s3_server.url()
    said: dict[str, int] = {}
    counts: Counter[str] = Counter()

    def kill_often(seed: int) -> None:
        """One writer after the other; each repeats the last call of the one before, which may have been done."""
        draw, name, following = random.Random(seed), f"w{seed}", 0
        for _ in range(KILLS // SPAWNED):
            writer = start(WRITER, url, name, str(following), "1000000")
            begin(writer)
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(draw.randrange(12))]
            time.sleep(draw.random() * 0.03)
            writer.kill()
            out, error = writer.communicate()
            assert writer.returncode == -signal.SIGKILL, error
            for text, position, _ in map(str.split, [*lines, *out.splitlines()]):
                assert said.setdefault(text, int(position)) == int(position)
                following = int(text.partition(":")[2]) + 1
            counts["kills"] += 1

    await asyncio.gather(*(asyncio.to_thread(kill_often, seed) for seed in range(SPAWNED)))
    texts = await all_messages(url)
    print(f"{counts['kills']} kills, {len(said)} acknowledged, {len(texts)} found")
    check(texts, said)
    assert len(texts) - len(said) <= SPAWNED, "only the last call of each may be there unacknowledged"
    assert counts["kills"] == KILLS


@pytest.fixture(params=["real", "slow"])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """The real server; and one that keeps requests under way for long, so that a script ends in their middle."""
    if request.param == "real":
        yield request.getfixturevalue("s3_server").url()
        return
    with FaultyS3(latency=0.02) as server:
        yield f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


@pytest.mark.parametrize("end", ENDS)
def test_a_script_ends_as_it_should(place: str, end: str) -> None:
    script = f"{SYNC}\n{ENDS[end]}"
    codes: Counter[int] = Counter()
    running = [start(script, place, f"{end} {number}") for number in range(SCRIPTS)]
    for process in running:
        if end == "waiting":
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
            process.terminate()  # at once: its last call has just been answered
        _, error = process.communicate(timeout=60)
        assert error == "", error
        codes[process.returncode] += 1
    print(f"{end}: exit codes {dict(codes)}")
    assert codes == {-signal.SIGTERM if end == "waiting" else 0: SCRIPTS}


def test_an_interrupt_leaves_no_call_half_done(place: str, tmp_path: Path) -> None:
    draw = random.Random(1)
    for number in range(4):
        process = start(INTERRUPTED, place.replace("?", f"/{number}?"))
        assert process.stdout is not None
        for _ in range(draw.randrange(2, 6)):
            assert process.stdout.readline() != "", process.communicate()[1]
        time.sleep(draw.random() * 0.03)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        assert (process.returncode, out.splitlines()[-1:]) == (0, ["after"]), error


async def test_a_cancelled_call_is_done_or_not_done(place: str) -> None:
    draw = random.Random(2)
    counts: Counter[str] = Counter()
    async with holdfast.open(place) as stores, holdfast.open(place) as others:

        async def add(number: int) -> None:
            batch = [{"text": f"{number}.{part}"} for part in range(3)]
            call = asyncio.create_task(stores.messages.add_messages("all", batch, op_id=str(number)))
            await asyncio.sleep(0.03 * draw.random() ** 2)  # mostly before it is answered, not always
            call.cancel()
            try:
                await call
            except asyncio.CancelledError:
                counts["cancelled"] += 1
            else:
                counts["acknowledged"] += 1
                done.add(number)

        done: set[int] = set()
        for first in range(0, 60, 6):
            await asyncio.gather(*map(add, range(first, first + 6)))
            await stores.messages.add_message("all", {"text": f"then {first}.0"})  # behind all that is under way
            found = [message["text"] for message in await others.messages.get_messages("all")]
            groups = Counter(text.partition(".")[0] for text in found)
            assert all(count == (1 if name.startswith("then") else 3) for name, count in groups.items())
            assert {str(number) for number in done} <= groups.keys()
        for number in range(60):
            batch = [{"text": f"{number}.{part}"} for part in range(3)]
            await others.messages.add_messages("all", batch, op_id=str(number))
        assert await others.messages.count("all") == 10 + 3 * 60
        await stores.messages.add_message("all", {"text": "end"})
        assert await others.messages.get_messages("all") == await stores.messages.get_messages("all")
    print(dict(counts))
    assert counts["cancelled"] > 5
