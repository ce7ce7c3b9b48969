"""A mover is killed a hundred times in the middle of a copy: the next one goes on, nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import moving
from tests.amount import part
from tests.unit.moving.places import content, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.s3 import S3Server

FEW_KILLS = 12
MANY_KILLS = {"sqlite": part(70), "s3": part(30)}
CONVERSATIONS = {"sqlite": 1_500, "s3": 300}

# Each line is one write to the pipe, made after the target has acknowledged: the number of streams that are there.
CHILD = """
import asyncio, os, sys
from stowfast import moving

def tell(done):
    os.write(1, b"%d\\n" % (done.streams + done.already_there))

done = asyncio.run(moving.copy(sys.argv[1], sys.argv[2], progress=tell))
assert done.complete, done.differences
os.write(1, b"complete\\n")
"""


def killed(source: str, target: str, delay: float, patience: float = 60.0) -> tuple[int, bool]:
    """Run a mover, and kill it so long after its first line. Return the last count told, and whether it was killed."""
    with subprocess.Popen([sys.executable, "-c", CHILD, source, target], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        read = child.stdout.fileno()
        told, deadline, kill_at = b"", time.monotonic() + patience, float("inf")
        while True:
            now = time.monotonic()
            assert now < deadline, "the mover says nothing"
            if now >= kill_at:
                child.send_signal(signal.SIGKILL)
                kill_at = float("inf")
            ready, _, _ = select.select([read], [], [], max(min(kill_at, deadline) - now, 0.0))
            if not ready:
                continue
            piece = os.read(read, 65_536)
            if not piece:
                break
            told += piece
            if kill_at == float("inf") and child.returncode is None and told.count(b"\n") >= 1:
                kill_at = min(kill_at, now + delay)
        code = child.wait()
    assert code in (0, -signal.SIGKILL)
    lines = [line for line in told.decode().split("\n")[:-1] if line != "complete"]
    return int(lines[-1]) if lines else 0, code != 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "most"),
    [("sqlite", FEW_KILLS), *(pytest.param(*one, marks=pytest.mark.soak) for one in MANY_KILLS.items())],
)
async def test_a_copy_that_is_killed_again_and_again_ends_complete(
    kind: str, most: int, tmp_path: Path, s3_server: S3Server
) -> None:
    source, chance = f"sqlite:///{tmp_path}/source.db", random.Random(7)
    async with stowfast.open(source) as stores:
        await fill(stores)
        for number in range(CONVERSATIONS[kind]):
            await stores.messages.add_messages(f"many-{number}", [{"n": n, "x": "x" * 200} for n in range(40)])
        wanted = await content(stores.backend)
    kills = acknowledged = found = places = 0
    while kills < most:
        places += 1
        target = s3_server.url() if kind == "s3" else f"sqlite:///{tmp_path}/target-{places}.db"
        while True:
            told, was_killed = killed(source, target, chance.random() * (0.3 if kind == "sqlite" else 0.6))
            kills += was_killed
            if not was_killed:
                break
            async with stowfast.open(target) as stores:
                there = await content(stores.backend)
            assert len(there) >= told, "a stream that was acknowledged is not there"
            acknowledged, found = acknowledged + told, found + len(there)
            if kills >= most:
                await moving.copy(source, target)
                break
        async with stowfast.open(target) as stores:
            assert await content(stores.backend) == wanted
    print(f"\n{kind}: {kills} kills of a mover over {places} targets, {acknowledged:,} streams acknowledged, "
          f"{found:,} found; each target complete and equal")  # fmt: skip
