"""A backup is killed in the middle again and again: each generation is whole, and no earlier one changes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import moving
from stowfast.cli.urls import sqlite_path
from tests.amount import part

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.s3 import S3Server

KEPT = 3
PATIENCE = 300.0
"""Seconds for the backup that is not killed."""
CHILD = f"""
import asyncio, os, sys
from stowfast import Retention, moving

os.write(1, b"begun\\n")
made, found = asyncio.run(moving.add_generation(sys.argv[1], sys.argv[2], keep=Retention(versions={KEPT})))
assert found.sound
os.write(1, made.name.encode())
"""


def begun(source: str, archive: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, source, archive], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"begun\n"
    return child


def ended(child: subprocess.Popen[bytes], delay: float) -> tuple[str, bool]:
    """Kill a backup after a time. Return the acknowledged name, and whether it was killed."""
    with child:
        assert child.stdout is not None
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        told = child.stdout.read().decode()
        code = child.wait()
    assert code in (0, -signal.SIGKILL)
    return told, code != 0


async def digest_of(archive: str, one: moving.Generation) -> str:
    async with moving.opened_generation(archive, one) as url:
        path = sqlite_path(url)
        assert path is not None
        return sha256(path.read_bytes()).hexdigest()


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("source_kind", "archive_kind", "least", "at_once"),
    [("sqlite", "folder", 15, 1), ("s3", "folder", 8, 1), ("sqlite", "s3", 12, 2), ("s3", "s3", 8, 1)],
)
async def test_killed_backups_leave_every_generation_whole(
    source_kind: str, archive_kind: str, least: int, at_once: int, tmp_path: Path, s3_server: S3Server
) -> None:
    source = s3_server.url() if source_kind == "s3" else f"sqlite:///{tmp_path}/one.db"
    archive = f"{tmp_path}/kept/" if archive_kind == "folder" else s3_server.url().replace("?", "/?", 1)
    chance, kills, acknowledged, found, calls = random.Random(f"{source_kind} {archive_kind}"), 0, 0, 0, 0
    known, whole = dict[str, str](), 0.0
    least = part(least)
    while kills < least:
        calls += 1
        assert calls < 20 * least, "the calls end before they are killed"
        async with stowfast.open(source) as stores:
            for number in range(5):
                messages = [{"n": n, "x": "x" * 500} for n in range(50)]
                await stores.messages.add_messages(f"c{calls}-{number}", messages)
        began = monotonic()
        children = [begun(source, archive) for _ in range(at_once)]
        # Over all of a backup, as long as it takes on this machine: the first one is not killed.
        ends = [ended(child, 1.2 * whole * chance.random() if whole else PATIENCE) for child in children]
        whole = whole or monotonic() - began
        kills += sum(was_killed for _, was_killed in ends)
        there = {one.name: one for one in await moving.generations(archive)}
        digests = {name: known.get(name) or await digest_of(archive, one) for name, one in there.items()}
        for told in filter(None, (told for told, _ in ends)):
            acknowledged += 1
            assert told in there, "an acknowledged generation is not there"
        for name in list(there)[: 2 * at_once]:
            found += name not in known
            assert await digest_of(archive, there[name]) == digests[name], "an earlier generation changed"
            if name not in known:
                async with moving.opened_generation(archive, there[name]) as url:
                    result = await moving.verify(f"{url}?read_only=true")
                assert (result.sound, result.streams) == (True, 5 * calls)
        assert len(known.keys() - there.keys()) <= len(there.keys() - known.keys()) + KEPT
        assert not known or there, "the newest generation stays"
        known = digests
    made, result = await moving.add_generation(source, archive)
    assert (result.sound, result.streams, made) == (True, 5 * calls, await moving.generation_at(archive))
    counts = f"{kills} kills of {calls * at_once} backups, {acknowledged} acknowledged, {found} generations found"
    print(f"\n{source_kind} to {archive_kind}: {counts}, each whole, none changed")
