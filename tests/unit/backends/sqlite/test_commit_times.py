"""Times of commits: taken under the write lock, so that they are in the order of the commits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from stowfast.abc import Change, Query
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.backends.sqlite.write_queue import WriteQueue
from stowfast.names import clock

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_SECONDS = 30


def test_a_commit_that_waited_is_later_than_the_one_it_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two openings, the one that asked for the lock first and had it last lists as the last changed."""
    path, asks, holds = tmp_path / "a.db", threading.Event(), list[sqlite3.Connection]()
    begin = WriteQueue.begin

    def begin_and_tell(queue: WriteQueue, *given: Any, wait: bool) -> bool:
        if wait and holds:
            asks.set()
        return begin(queue, *given, wait=wait)

    monkeypatch.setattr(WriteQueue, "begin", begin_and_tell)

    async def main() -> None:
        first, second = SQLiteBackend(str(path)), SQLiteBackend(str(path))
        await first.commit("notes/first", Change([b"0"]))
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        holds.append(lock)
        waits = asyncio.get_running_loop().run_in_executor(
            None, asyncio.run, second.commit("notes/second", Change([b"1"]))
        )
        assert await asyncio.to_thread(asks.wait, _SECONDS)
        freed = clock()
        lock.execute("COMMIT")
        lock.close()
        assert (await waits).committed_at >= freed
        listed = (await first.streams(Query("notes/", order="recent"))).streams
        assert [one.name for one in listed] == ["notes/second", "notes/first"]
        await first.close()
        await second.close()

    asyncio.run(main())
