"""A backup is killed in the middle again and again: earlier generations stay as they are, and each one is whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import moving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.s3 import S3Server

KILLS = {"sqlite": 30, "s3": 20}

CHILD = """
import asyncio, os, sys
from stowfast import moving

os.write(1, b"begun\\n")
made, found = asyncio.run(moving.add_generation(sys.argv[1], sys.argv[2]))
assert found.sound
os.write(1, made.path.name.encode())
"""


def backed_up(source: str, folder: Path, delay: float) -> tuple[str, bool]:
    """Run a backup, and kill it after a time. Return the acknowledged name, and whether it was killed."""
    with subprocess.Popen([sys.executable, "-c", CHILD, source, str(folder)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        told = child.stdout.read().decode()
        code = child.wait()
    assert code in (0, -signal.SIGKILL)
    return told, code != 0


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", "s3"])
async def test_killed_backups_leave_every_generation_whole(kind: str, tmp_path: Path, s3_server: S3Server) -> None:
    source, folder = s3_server.url() if kind == "s3" else f"sqlite:///{tmp_path}/one.db", tmp_path / "kept"
    chance, kills, acknowledged, known = random.Random(kind), 0, 0, dict[str, str]()
    calls = 0
    while kills < KILLS[kind]:
        calls += 1
        assert calls < 20 * KILLS[kind], "the calls end before they are killed"
        async with stowfast.open(source) as stores:
            for number in range(10):
                messages = [{"n": n, "x": "x" * 500} for n in range(100)]
                await stores.messages.add_messages(f"c{calls}-{number}", messages)
        told, was_killed = backed_up(source, folder, chance.random() * 0.5)
        kills += was_killed
        there = {one.path.name: sha256(one.path.read_bytes()).hexdigest() for one in moving.generations(folder)}
        assert {name: there.get(name) for name in known} == known, "an earlier generation changed"
        assert len(there) <= len(known) + 1
        if told:
            acknowledged += 1
            assert told in there, "an acknowledged generation is not there"
        for name in there.keys() - known.keys():
            one = next(one for one in moving.generations(folder) if one.path.name == name)
            found = await moving.verify(f"{one.url}?read_only=true")
            assert (found.sound, found.streams) == (True, 10 * calls)
        known = there
    made, found = await moving.add_generation(source, folder)
    assert (found.sound, found.streams, made) == (True, 10 * calls, moving.generation_at(folder))
    print(f"\n{kind}: {kills} kills of {calls} backups, {acknowledged} acknowledged, {len(known)} generations there, "
          "each whole, none changed")  # fmt: skip
