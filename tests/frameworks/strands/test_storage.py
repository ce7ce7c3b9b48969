"""The storage for snapshots: bytes by key, races, readers beside writers, lost answers, kills, and deletions."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from strands import Agent
from strands.session.snapshot_session_manager import SnapshotSessionManager
from strands.types.exceptions import StorageError

import stowfast
from stowfast import Stores
from stowfast.adapters.strands import StowfastStorage
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, Child, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from tests.frameworks.losing import LosingBucket

WRITES, KILLS, MOST_LINES, SIZE = 12, 6, 8, 100_000

# Writes numbered keys and a shared one, and tells each number after its answer. A value is its name, so many times.
PUTS = """
import asyncio, os, sys
from stowfast.adapters.strands import StowfastStorage

url, scope, name, stop, size = *sys.argv[1:4], *map(int, sys.argv[4:])

async def main():
    async with StowfastStorage(url, scope=scope) as storage:
        os.write(1, b"opened\\n")
        for number in range(stop):
            await storage.write("shared", name[0].encode() * size)
            await storage.write(f"{name}-{number:06}", name.encode())
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


async def test_it_keeps_bytes_by_key(url: str) -> None:
    async with StowfastStorage(url) as storage:
        assert await storage.read("a/b") is None
        for data in (b"", b"\0\xff", b"x" * 100_000):
            await storage.write("a/b", data)
            assert await storage.read("a/b") == data
        await storage.write("a/ü", b"tea and milk")
        await storage.write("b", b"tea")
        assert await storage.list("a/") == ["a/b", "a/ü"]
        assert await storage.list() == ["a/b", "a/ü", "b"]
        assert {found.key for found in await storage.search("tea")} == {"a/ü", "b"}
        await storage.delete("b")
        await storage.delete("b")
        assert await storage.read("b") is None
        with pytest.raises(StorageError):
            await storage.write("", b"")


async def test_a_snapshot_is_restored(url: str) -> None:
    said: Any = {"role": "user", "content": [{"text": "a"}]}
    async with StowfastStorage(url) as storage:
        managers = [SnapshotSessionManager("session", storage=storage) for _ in range(2)]
        agent = Agent(agent_id="agent", session_manager=managers[0], callback_handler=None)
        agent.messages.append(said)
        await managers[0].save_snapshot(agent, is_latest=True)
        restored = Agent(agent_id="agent", session_manager=managers[1], callback_handler=None)
        assert restored.messages == [said]


async def test_a_deleted_key_is_gone_until_it_is_written_anew(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastStorage(every_url, scope=scope) as storage, StowfastStorage(every_url, scope=scope) as other:
        for deletes in (storage, other):
            await storage.write("k", b"old")
            await deletes.delete("k")
            assert await storage.read("k") is None
            assert await other.list() == []
            await storage.write("k", b"new")
            assert await other.read("k") == b"new"
            await other.delete("k")


async def test_a_lost_answer_writes_a_key_once(url: str) -> None:
    async with await stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        storage = StowfastStorage(Stores(loses), versions=9)
        for number in range(4):
            loses.lose = 2
            await storage.write("k", str(number).encode())
            assert (await storage.read("k"), loses.lose) == (str(number).encode(), 0)
        (info,) = await stores.artifacts.list()
        assert info.version == 4
        loses.lose = 2
        await storage.delete("k")
        assert (await storage.read("k"), loses.lose) == (None, 0)


async def test_a_bucket_that_loses_answers_keeps_the_last_write(losing_bucket: LosingBucket) -> None:
    async with StowfastStorage(losing_bucket.url) as storage:
        for number in range(4):
            losing_bucket.lose_answer()
            await storage.write("k", str(number).encode() * SIZE)
            assert await storage.read("k") == str(number).encode() * SIZE
        losing_bucket.lose_answer()
        await storage.delete("k")
        assert await storage.read("k") is None


async def test_two_processes_lose_no_key(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    ended = race(PUTS, *[[shared_url, scope, name, str(WRITES), str(SIZE)] for name in ("one", "two")])
    assert ended == [["opened", *map(str, range(WRITES))]] * 2
    async with StowfastStorage(shared_url, scope=scope) as storage:
        keys = [key for key in await storage.list() if key != "shared"]
        assert by_writer(keys) == {name: list(range(WRITES)) for name in ("one", "two")}
        assert await storage.read("shared") in {name[0].encode() * SIZE for name in ("one", "two")}


async def test_a_reader_beside_a_writer_gets_a_whole_value(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastStorage(shared_url, scope=scope) as storage:
        await storage.write("shared", b"b" * SIZE)
        with Child(PUTS, shared_url, scope, "one", str(WRITES), str(SIZE)) as child:
            child.read(1)
            while not child.has_ended:
                found = await storage.read("shared")
                assert found in {b"b" * SIZE, b"o" * SIZE}
            child.finish()
        assert await storage.read("shared") == b"o" * SIZE


@KILLABLE
async def test_an_acknowledged_write_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(PUTS, KILLS, lambda name: [shared_url, scope, name, "10000", str(SIZE)], MOST_LINES)
    async with StowfastStorage(shared_url, scope=scope) as storage:
        check_writers(shared_url, told, by_writer(key for key in await storage.list() if key != "shared"))
        assert await storage.read("shared") == b"w" * SIZE
