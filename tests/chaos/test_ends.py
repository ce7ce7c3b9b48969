"""How a script ends: as it should, interrupted, by a signal. Nothing hangs, aborts, or is half done."""

from __future__ import annotations

import ast
import asyncio
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import pytest

import stowfast
from stowfast.backends.objects.backend import ObjectBackend
from stowfast.backends.objects.protocol.load import read_head
from tests.amount import part
from tests.chaos.test_real import start
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = [1, pytest.param(part(12, 4), marks=pytest.mark.soak)]
SOURCE = Path(__file__).parents[2] / "src" / "stowfast"

# Its last append is answered, and whatever that made due is under way.
SYNC = """
import sys, time
import stowfast.sync

url, name, count, size = *sys.argv[1:3], *map(int, sys.argv[3:])
stores = stowfast.sync.open(url)
for number in range(count):
    stores.messages.add_message(name, {"n": number, "text": "x" * size})
%s
"""
ASYNC = """
import asyncio, sys, time
import stowfast

url, name, count, size = *sys.argv[1:3], *map(int, sys.argv[3:])

async def main():
    stores = await stowfast.open(url)
    for number in range(count):
        await stores.messages.add_message(name, {"n": number, "text": "x" * size})
    %s

asyncio.run(main())
"""
WAITS = "print('ready', flush=True); time.sleep(60)"
# The ways in which a script ends: as it should, without having closed anything, and by a signal.
ENDS = {
    "sync": {"closed": "stores.close()", "left open": "", "waiting": WAITS},
    "async": {
        "closed": "await stores.close()",
        "left open": "",
        "waiting": WAITS,
        "waiting in its loop": "print('ready', flush=True); await asyncio.sleep(60)",
    },
}
CASES = [(face, end) for face, ends in ENDS.items() for end in ends]

INTERRUPTED = """
import sys
import stowfast.sync

with stowfast.sync.open(sys.argv[1]) as stores:
    print("ready", flush=True)
    number = 0
    try:
        while True:
            stores.messages.add_message("all", {"n": number})
            number += 1
            # In one piece: `print` writes the end of a line by itself, and an interrupt may come before it.
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        # The place is as good as before: nothing is locked. The call that was interrupted is done, or is not, and if it
        # was under way it comes before what follows.
        stores.messages.add_message("all", {"n": "after"})
        found = [message["n"] for message in stores.messages.get_messages("all")]
        assert found in ([*range(number), "after"], [*range(number + 1), "after"]), (number, found)
        print("after", flush=True)
"""


@pytest.fixture(params=["real", "slow"])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """The real server; and a slow one, so a script ends in the middle of requests."""
    if request.param == "real":
        yield request.getfixturevalue("s3_server").url()
        return
    with FaultyS3(latency=0.02) as server:
        yield f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


@pytest.mark.parametrize(("count", "size"), [(3, 0), (9, 150_000)], ids=["small", "sealed"])
@pytest.mark.parametrize(("face", "end"), CASES, ids=map(", ".join, CASES))
@pytest.mark.parametrize("scripts", SCRIPTS)
def test_a_script_ends_as_it_should(place: str, face: str, end: str, count: int, size: int, scripts: int) -> None:
    script = (SYNC if face == "sync" else ASYNC) % ENDS[face][end]
    signalled = end.startswith("waiting")
    codes: Counter[int] = Counter()
    running = [start(script, place, f"{number}", f"{count}", f"{size}") for number in range(scripts)]
    for process in running:
        if signalled:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
            process.terminate()  # at once: its last call has just been answered
        _, error = process.communicate(timeout=60)
        assert error == "", error
        codes[process.returncode] += 1
    assert codes == {-signal.SIGTERM if signalled else 0: scripts}
    sealed = asyncio.run(check(place, count, scripts))
    assert bool(sealed) == (size > 0) or end != "closed"


async def check(place: str, count: int, scripts: int) -> int:
    """Check that all messages of every script are there, once. Return the number of messages in segments."""
    sealed = 0
    async with stowfast.open(place) as stores:
        assert isinstance(stores.backend, ObjectBackend)
        for number in range(scripts):
            found = await stores.messages.get_messages(f"{number}")
            assert [message["n"] for message in found] == list(range(count))
            state = stores.backend._run(read_head(f"messages/{number}"))
            sealed += sum(segment.count for segment in state.segments)
    return sealed


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
    async with stowfast.open(place) as stores, stowfast.open(place) as others:

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


def test_nothing_uses_the_driver_s_async_side() -> None:
    """A script with it may abort at the exit of the interpreter."""
    assert {name for name in dir(obstore) if name.endswith("_async")} >= {"get_async", "put_async"}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.attr] if isinstance(node, ast.Attribute) else []
            used = [name for name in names if name.endswith("_async")]
            assert used == [], f"{path}: {used}"


def test_the_driver_is_blocking_from_end_to_end() -> None:
    """Its streams can be iterated both ways."""
    found = [
        f"{path}:{node.lineno}"
        for path in (SOURCE / "backends" / "objects" / "driver").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFor | ast.AsyncWith | ast.Await | ast.AsyncFunctionDef)
    ]
    assert found == []
