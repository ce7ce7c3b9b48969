"""The counts of an opening, and the lines of the logger `stowfast`."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, ConflictError, DamagedError, TaskState, UnavailableError, counts
from stowfast.abc import Change
from stowfast.backends.memory import MemoryBackend
from stowfast.counts import Counts
from stowfast.testing.faults import LosesAnswers
from stowfast.wrappers import Patient
from tests.services.faulty_s3.faults import Fault
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-7f3a"
PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
DOCUMENTED = {
    "opened": {"backend", "place", "seconds"},
    "closed": {"commits", "conflicts", "repeats", "waits"},
    "recovered": {"log_bytes"},
    "repeated": {"attempts", "seconds"},
    "answer_lost": set(),
    "swept": {"streams", "blobs", "bytes", "entries"},
    "tombstones": {"removed", "left", "reason"},
    "damaged": {"kind"},
    "slow_commit": {"seconds", "slow_commits"},
    "postponed": {"error"},
    "maintenance_failed": {"error", "line"},
}


class Lines(logging.Handler):
    """The records of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def facts(self, event: str) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in vars(record).items() if name not in PLAIN and name != "event"}
            for record in self.records
            if record.event == event
        ]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("stowfast")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)
    for record in handler.records:
        named = vars(record).keys() - PLAIN - {"event"}
        assert named == DOCUMENTED[record.event]
        assert CANARY not in repr(vars(record)) + record.getMessage()


@pytest.fixture(params=["memory", "sqlite", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "s3":
        with FaultyS3() as server:
            yield f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
    else:
        yield {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/place.db"}[request.param]


async def chunks() -> Any:
    for _ in range(3):
        yield b"x" * 100_000


async def test_each_outcome_of_a_commit_is_counted_once(url: str) -> None:
    async with stowfast.open(url) as stores:
        backend, before = stores.backend, stores.stats()
        await backend.commit("s/a", Change([b"1234"], op_id="op"))
        await backend.commit("s/a", Change([b"1234"], op_id="op"))
        with pytest.raises(ConflictError):
            await backend.commit("s/a", Change([b"1234"], expect=7))
        changes = [("s/a", Change([b"56"])), ("s/b", Change([b"7"], expect=3)), ("s/b", Change(note=b"89"))]
        await backend.commit_many(changes)
        after = stores.stats()
        assert after.commits - before.commits == 3
        assert after.repeats == 1
        assert after.conflicts == 2
        assert after.failures == after.damaged == after.slow_commits == 0
        assert after.bytes_written == 4 + 2 + 2


async def test_bytes_of_entries_and_blobs_are_counted(url: str) -> None:
    async with stowfast.open(url) as stores:
        backend = stores.backend
        blob = await backend.write_blob("s/a", chunks())
        await backend.commit("s/a", Change([b"12"], blobs=[blob]))
        assert stores.stats().bytes_written == 300_002
        await backend.read("s/a")
        await backend.read_many([("s/a", stowfast.abc.ALL), ("s/a", stowfast.abc.ALL)])
        reads = stores.stats()
        assert (reads.reads, reads.bytes_read) == (3, 6)
        assert len(b"".join([piece async for piece in backend.read_blob("s/a", blob)])) == 300_000
        assert stores.stats().bytes_read == 300_006
        await backend.heads(["s/a", "s/b"])
        await backend.streams(stowfast.abc.Query(""))
        assert stores.stats().reads == 5


async def test_the_requests_of_a_bucket_are_those_that_its_server_sees() -> None:
    with FaultyS3() as server:
        async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true") as stores:
            before = Counter(stores.stats().requests)
            with server.counted() as made:
                for number in range(5):
                    await stores.messages.add_message("c", {"n": number})
                await stores.messages.get_messages("c")
                await stores.artifacts.create(Artifact(artifact_id="a", content=b"x" * 10**6))
                assert [one.context_id for one in await stores.messages.contexts()] == ["c"]
                await stores.artifacts.delete("a")
            done = Counter(stores.stats().requests) - before
        seen = Counter(record.operation for record in made)
    assert done["PUT"] == seen["PUT"]
    assert done["GET"] == seen["GET"]
    assert done["LIST"] == seen["LIST"]


async def test_transactions_of_a_file_are_counted(tmp_path: Path) -> None:
    async with stowfast.open(f"sqlite:///{tmp_path}/a.db", sweep=False) as stores:
        await stores.messages.add_message("c", {})
        before = stores.stats().requests
        for _ in range(5):
            await stores.messages.add_message("c", {})
        await stores.messages.get_messages("c")
        after = stores.stats().requests
        assert after["write"] - before["write"] == 5
        assert after["read"] - before.get("read", 0) == 1


def test_a_wait_for_the_lock_of_a_file_is_counted_with_its_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with stowfast.sync.open(f"sqlite:///{path}", sweep=False) as stores:
        stores.messages.add_message("c", {})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writer = threading.Thread(target=stores.messages.add_message, args=("c", {}))
        writer.start()
        while writer.is_alive() and not _waits(stores):
            writer.join(0.01)
        other.execute("ROLLBACK")
        other.close()
        writer.join()
        stats = stores.stats()
        assert stats.waits == 1
        assert stats.wait_seconds > 0


def _waits(stores: Any) -> bool:
    return stores.async_stores.backend._file._queue._waiter is not None


async def test_a_wrapper_a_scope_and_the_sync_face_count_with_their_backend() -> None:
    backend = MemoryBackend()
    stores = stowfast.Stores(Patient(backend))
    await stores.within("tenant").messages.add_message("c", {})
    assert stores.stats() == stores.within("tenant").stats() == backend.counts.stats()
    assert stowfast.sync.over(stores).stats().commits == 1
    assert stowfast.sync.over(stores).within("tenant").stats().commits == 1


def request_often(counted: Counts) -> None:
    for _ in range(2_000):
        counted.request("GET")


def test_threads_lose_no_count() -> None:
    counted = Counts()
    threads = [threading.Thread(target=request_often, args=(counted,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.stats().requests == {"GET": 8_000}


def test_no_count_waits_for_a_thread_that_counts() -> None:
    """As below a signal handler: it waits for a thread that counts, and its own thread was interrupted in a count."""
    counted = Counts()

    def count() -> None:
        for _ in range(5_000):
            counted.request("GET")
        with counted.waiting():
            counted.note_error("messages/c", DamagedError("test"))
        counted._tell_slow(2.0)
        counted.stats()

    with counted._adding, counted._telling:
        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    stats = counted.stats()
    assert (stats.requests, stats.waits, stats.damaged, stats.slow_commits) == ({"GET": 5_000}, 1, 1, 1)


async def test_no_line_holds_content_an_id_or_a_secret(lines: Lines, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_SLOW_COMMIT_SECONDS", -1.0)
    async with stowfast.open(url) as stores:
        for inside in (stores, stores.within(CANARY)):
            await inside.messages.add_message(CANARY, {"content": CANARY}, op_id=CANARY)
            await inside.messages.set_metadata(CANARY, {CANARY: CANARY})
            with pytest.raises(ConflictError):
                await inside.messages.add_messages(CANARY, [{"content": CANARY}], expect=9)
            await inside.artifacts.create(Artifact(artifact_id=CANARY, content=CANARY * 10_000, name=CANARY))
            await inside.tasks.save(TaskState(task_id=CANARY, data=CANARY, status=CANARY))
            await inside.documents.put(CANARY, {CANARY: CANARY})
            for kind in ("messages", "tasks", "artifacts"):
                await inside.backend.commit(f"{kind}/{CANARY}-damaged", Change([b"{" + CANARY.encode()]))
            with pytest.raises(DamagedError):
                await inside.messages.get_messages(f"{CANARY}-damaged")
            await inside.backend.commit(f"messages/{CANARY}-old", Change([b"{}"], expires_at=1))
        await stores.sweep()
    events = {record.event for record in lines.records}
    assert {"opened", "closed", "slow_commit", "swept"} <= events
    assert len(lines.facts("slow_commit")) == 1  # of many
    assert len(lines.facts("closed")) == 1


async def test_a_damaged_stream_is_one_line_however_often_it_is_read(lines: Lines, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with stowfast.open(url) as stores:
        for name in (CANARY, "sound"):
            await stores.messages.add_message(name, {"content": CANARY})
            await stores.messages.set_metadata(name, {"n": 1})
    with closing(sqlite3.connect(f"{tmp_path}/a.db", isolation_level=None)) as file:
        file.execute("UPDATE streams SET checksum = checksum + 1 WHERE name = ?", (f"messages/{CANARY}",))
    async with stowfast.open(url) as stores:
        for _ in range(3):
            with pytest.raises(DamagedError):
                await stores.messages.get_messages(CANARY)
            with pytest.raises(DamagedError):
                await stores.messages.add_message(CANARY, {})
            await stores.messages.get_messages("sound")
        assert stores.stats().damaged >= 6
    assert lines.facts("damaged") == [{"kind": "messages"}]


async def test_a_call_that_was_repeated_is_one_line_at_its_end(lines: Lines) -> None:
    lossy = LosesAnswers(MemoryBackend(), count=3)
    stores = stowfast.Stores(Patient(lossy, within=timedelta(seconds=60)))
    await stores.messages.add_message(CANARY, {"content": CANARY})
    assert [facts["attempts"] for facts in lines.facts("repeated")] == [4]


async def test_a_put_without_an_answer_is_a_line_and_a_retry(lines: Lines) -> None:
    with FaultyS3() as server:
        async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true") as stores:
            await stores.messages.add_message(CANARY, {})
            server.fail(Fault.CLOSE, after=True, operation="PUT", key="h/")
            await stores.messages.add_message(CANARY, {"content": CANARY})
            assert await stores.messages.count(CANARY) == 2
            assert stores.stats().retries >= 1
    assert lines.facts("answer_lost")


def test_a_file_of_a_killed_process_is_recovered(lines: Lines, tmp_path: Path) -> None:
    script = (
        "import os, stowfast.sync\n"
        f"stores = stowfast.sync.open({f'sqlite:///{tmp_path}/a.db'!r})\n"
        f"stores.messages.add_message({CANARY!r}, {{}})\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    with stowfast.sync.open(f"sqlite:///{tmp_path}/a.db") as stores:
        assert stores.messages.count(CANARY) == 1
    assert [facts["log_bytes"] > 0 for facts in lines.facts("recovered")] == [True]
    lines.records.clear()
    with stowfast.sync.open(f"sqlite:///{tmp_path}/a.db"):
        pass
    assert not lines.facts("recovered")


def test_nothing_is_printed_by_default(tmp_path: Path) -> None:
    script = (
        "import os, stowfast.sync, stowfast.counts\n"
        "stowfast.counts._SLOW_COMMIT_SECONDS = -1\n"
        f"with stowfast.sync.open({f'sqlite:///{tmp_path}/a.db'!r}) as stores: stores.messages.add_message('c', {{}})\n"
        "assert stores.stats().slow_commits == 1"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=120, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_a_call_without_an_answer_is_counted() -> None:
    @counts.counted
    class Silent(MemoryBackend):
        async def commit(self, stream: str, change: Change) -> Any:
            raise UnavailableError(CANARY)

    stores = stowfast.Stores(Silent())
    with pytest.raises(UnavailableError):
        await stores.messages.add_message("c", {})
    assert stores.stats().failures == 1


def test_the_page_of_the_logger_names_every_event() -> None:
    from stowfast import operator_log

    page = operator_log.__doc__ or ""
    for event, facts in DOCUMENTED.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{event}` |")]
        assert all(f"`{fact}`" in row for fact in facts)
