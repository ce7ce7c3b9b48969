"""Many processes on one file: they wait in a queue, none is left out, and nothing of the queue stays behind."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import stowfast.sync
from stowfast import InvalidError, UnavailableError
from stowfast.backends.sqlite import write_queue
from stowfast.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# One process imports, and forks the others before any of them opens a file: 200 interpreters would take minutes.
CROWD = """
import json, os, sqlite3, sys, time
import stowfast.sync

path, processes, each, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
go_in, go_out = os.pipe()
said_in, said_out = os.pipe()
ready_in, ready_out = os.pipe()

def ours(who):
    stores = stowfast.sync.open(f"sqlite:///{path}")
    yield None
    for n in range(each):
        yield stores.messages.add_message("c", {"who": who, "n": n})
    stores.close()

def plain(who):
    file = sqlite3.connect(path, timeout=60, isolation_level=None)
    file.execute("PRAGMA synchronous=FULL")
    yield None
    for n in range(each):
        file.execute("BEGIN IMMEDIATE")
        position = file.execute("INSERT INTO m(data) VALUES (?)", (b'{"n":1}',)).lastrowid
        file.execute("COMMIT")
        yield position
    file.close()

if kind == "plain":
    file = sqlite3.connect(path)
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("CREATE TABLE m (n INTEGER PRIMARY KEY, data BLOB)")
    file.close()
for who in range(processes):
    if os.fork() == 0:
        os.close(go_out)
        positions, worst, error = [], 0.0, ""
        try:
            steps = (plain if kind == "plain" else ours)(who)
            if each > 1:
                next(steps)
            os.write(ready_out, b".")
            os.read(go_in, 1)
            before = time.monotonic()
            if each == 1:
                next(steps)
            for position in steps:
                positions.append(position)
                worst = max(worst, time.monotonic() - before)
                before = time.monotonic()
        except BaseException as raised:
            error = repr(raised)
        os.write(said_out, json.dumps([positions, worst, error]).encode() + b"\\n")
        os._exit(0)
os.close(said_out)
ready = 0
while ready < processes:
    ready += len(os.read(ready_in, processes))
began = time.monotonic()
os.close(go_out)
said = b""
while piece := os.read(said_in, 65536):
    said += piece
took = time.monotonic() - began
for _ in range(processes):
    os.wait()
print(json.dumps([took, [json.loads(line) for line in said.splitlines()]]))
"""


def crowd(path: Path, processes: int, each: int, kind: str = "ours") -> tuple[float, list[Any]]:
    done = subprocess.run(
        [sys.executable, "-c", CROWD, str(path), str(processes), str(each), kind],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    took, rows = json.loads(done.stdout)
    worst = max(row[1] for row in rows)
    print(f"{kind}: {processes} x {each}: {processes * each / took:,.0f} a second, longest wait {worst:.2f} s")
    return took, rows


@pytest.mark.slow
@pytest.mark.parametrize("processes", [50, pytest.param(200, marks=pytest.mark.soak)])
def test_many_processes_that_open_a_new_file_at_once_all_end(tmp_path: Path, processes: int) -> None:
    _, rows = crowd(tmp_path / "agent.db", processes, 1)
    assert [row[2] for row in rows if row[2]] == []
    assert sorted(row[0][0] for row in rows) == list(range(processes))
    assert os.listdir(tmp_path) == ["agent.db"]


@pytest.mark.soak
def test_48_processes_are_about_as_fast_as_plain_sqlite_and_none_starves(tmp_path: Path) -> None:
    rounds = [(crowd(tmp_path / f"{n}.p", 48, 20, "plain")[0], *crowd(tmp_path / f"{n}.db", 48, 20)) for n in range(3)]
    for _, _, rows in rounds:
        assert [row[2] for row in rows if row[2]] == []
        assert sorted(position for row in rows for position in row[0]) == list(range(48 * 20))
        for row in rows:
            assert row[0] == sorted(row[0])
            assert row[1] < 30
    print(f"plain: {sum(plain for plain, _, _ in rounds):.1f} s, ours: {sum(ours for _, ours, _ in rounds):.1f} s")
    # A machine that does other things measures them, too: the best of three may not be far behind.
    assert min(ours / plain for plain, ours, _ in rounds) < 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.db"


@pytest.fixture
def stores(path: Path) -> Iterator[stowfast.sync.Stores]:
    with stowfast.sync.open(f"sqlite:///{path}", timeout=20) as opened:
        opened.messages.add_message("c", {})
        yield opened


def lock(path: Path) -> sqlite3.Connection:
    """Return a connection in a write transaction."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_a_file_without_a_crowd_has_no_lock_file(stores: stowfast.sync.Stores, path: Path) -> None:
    assert sorted(os.listdir(path.parent)) == ["agent.db", "agent.db-shm", "agent.db-wal"]


def test_a_waiter_gives_up_in_time(path: Path, stores: stowfast.sync.Stores) -> None:
    other = lock(path)
    with stowfast.sync.open(f"sqlite:///{path}", timeout=0.5, sweep=False) as hasty:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="held the lock"):
            hasty.messages.add_message("c", {})
        assert 0.4 < time.monotonic() - began < 10
        other.close()
        assert hasty.messages.add_message("c", {}) == 1


def test_a_queue_that_stands_still_holds_nobody_up_for_long(path: Path, stores: stowfast.sync.Stores) -> None:
    with open(f"{path}-queue", "w") as blocked:
        fcntl.flock(blocked, fcntl.LOCK_EX)
        waiting = lock(path)
        said: list[int] = []
        writer = threading.Thread(target=lambda: said.append(stores.messages.add_message("c", {})))
        writer.start()
        writer.join(0.3)  # it waits, now in the queue
        assert said == []
        waiting.rollback()
        waiting.close()
        writer.join(15)
        assert said == [1]


def test_no_thread_to_wait_with_is_no_hindrance(
    path: Path, stores: stowfast.sync.Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with open(f"{path}-queue", "w") as blocked:
        fcntl.flock(blocked, fcntl.LOCK_EX)
        other = lock(path)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        release = time.monotonic() + 0.3

        class Releases:
            def sleep(self, seconds: float) -> None:
                if time.monotonic() > release and other.in_transaction:
                    other.rollback()
                time.sleep(seconds)

            monotonic = staticmethod(time.monotonic)

        monkeypatch.setattr(write_queue, "time", Releases())
        assert stores.messages.add_message("c", {}) == 1
        other.close()


def test_a_link_in_place_of_the_lock_file_is_not_followed(path: Path, stores: stowfast.sync.Stores) -> None:
    target = path.parent / "target"
    os.symlink(target, f"{path}-queue")
    other = lock(path)
    with stowfast.sync.open(f"sqlite:///{path}", timeout=0.2, sweep=False) as hasty, pytest.raises(UnavailableError):
        hasty.messages.add_message("c", {})
    other.close()
    assert not target.exists()
    os.unlink(f"{path}-queue")


def test_a_write_inside_a_write_of_another_opening_says_so_at_once(path: Path, stores: stowfast.sync.Stores) -> None:
    with stowfast.sync.open(f"sqlite:///{path}", timeout=60, sweep=False) as other:
        inner: list[str] = []

        transaction = stores._store.backend._writer._transaction
        commit = transaction.commit

        def committing(*args: Any) -> Any:
            if not inner:  # in the middle of the transaction, where a signal handler may run
                with pytest.raises(InvalidError, match="inside another call") as refused:
                    other.messages.add_message("c", {"inner": True})
                inner.append(str(refused.value))
            return commit(*args)

        transaction.commit = committing
        began = time.monotonic()
        assert stores.messages.add_message("c", {"outer": True}) == 1
        assert time.monotonic() - began < 10
        assert len(inner) == 1
        assert other.messages.add_message("c", {"after": True}) == 2


def test_a_begin_that_was_refused_is_no_write_of_its_thread(path: Path) -> None:
    stowfast.sync.open(f"sqlite:///{path}").close()
    other, one, two = (sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0) for _ in "012")
    try:
        queues = [write_queue.WriteQueue(str(path), 1, Counts()) for _ in "01"]
        other.execute("BEGIN IMMEDIATE")
        assert not queues[0].begin(one, (1, 1), wait=False)
        other.execute("ROLLBACK")
        thread = threading.Thread(target=one.execute, args=("BEGIN IMMEDIATE",))
        thread.start()
        thread.join()
        assert not queues[1].begin(two, (1, 1), wait=False)  # and no error: another thread writes
    finally:
        for connection in (other, one, two):
            connection.close()


class Clock:
    """The clock of this machine, some seconds ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.sleep = time.sleep

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


def test_a_process_that_has_waited_commits_for_a_turn_and_then_queues_up_behind_the_others(
    path: Path, stores: stowfast.sync.Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, clock = Counts(), Clock()
    queue = write_queue.WriteQueue(str(path), 20, counts)
    one = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
    monkeypatch.setattr(write_queue, "time", clock)

    def commit() -> None:
        queue.begin(one, (1, 1), wait=True)
        one.execute("COMMIT")
        queue.end(one, (1, 1))

    other = lock(path)
    first = threading.Thread(target=commit)
    first.start()
    while not queue._crowded:  # it was refused: with the file of the queue alone it may not have asked yet
        first.join(0.01)
    other.close()
    first.join()
    assert counts.stats().waits == 1
    # Another process is the first of the queue, and asks for the lock now and then.
    with open(f"{path}-queue") as ahead:
        fcntl.flock(ahead, fcntl.LOCK_EX)
        queue._turn_ends = clock.monotonic() + 1_000  # on a busy machine the turn itself would be over by now
        for _ in range(50):
            commit()
        assert counts.stats().waits == 1
        clock.ahead = 2_000
        last = threading.Thread(target=commit)
        last.start()
        while counts.stats().waits < 1 or queue._waiter is None:
            last.join(0.01)
        assert last.is_alive()  # behind the other one
        fcntl.flock(ahead, fcntl.LOCK_UN)
        last.join()
    assert counts.stats().waits == 2
    one.close()
