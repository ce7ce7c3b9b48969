"""No sweep and no large deletion holds the write lock for long: counted in rows of a transaction, not in time."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

import stowfast
import stowfast.sync
from stowfast.abc import OPERATIONS_REMEMBERED, Change, Window
from stowfast.backends.sqlite import sweep
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.backends.sqlite.file import SQLiteFile
from stowfast.backends.sqlite.removal import BATCH_ROWS
from stowfast.blocking import run_in_place
from stowfast.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

MESSAGES = 300_000
DAY = 86_400 * 10**6


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The changed rows of each transaction, in the order of their commits."""
    counted: list[int] = []
    begin, commit = SQLiteFile.begin, SQLiteFile.commit
    before: dict[int, int] = {}

    def begins(file: SQLiteFile, *, wait: bool) -> bool:
        begun = begin(file, wait=wait)
        before[id(file)] = file.writer.total_changes
        return begun

    def commits(file: SQLiteFile) -> None:
        commit(file)
        counted.append(file.writer.total_changes - before[id(file)])

    monkeypatch.setattr(SQLiteFile, "begin", begins)
    monkeypatch.setattr(SQLiteFile, "commit", commits)
    return counted


@contextmanager
def opened(path: Path) -> Iterator[SQLiteBackend]:
    backend = run_in_place(SQLiteBackend.open(f"sqlite:///{path}", sweep=False, durability="relaxed"))
    yield backend
    run_in_place(backend.close())


def stored(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as file:
        found: int = file.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found


def test_a_large_deletion_is_many_transactions(rows: list[int], tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        for start in range(0, MESSAGES, 10_000):
            run_in_place(backend.commit("c", Change([b"x"] * 10_000, op_id=f"op-{start}")))
        run_in_place(backend.commit("other", Change([b"mine"])))
        rows.clear()
        receipt = run_in_place(backend.commit("c", Change(delete=True)))
        # It is gone at once, and can begin anew while its rows are removed behind.
        assert run_in_place(backend.read("c")) == (None, [])
        again = run_in_place(backend.commit("c", Change([b"new"])))
        assert again.first == 0
        assert again.incarnation != receipt.incarnation
        # The op_ids outlive it.
        assert run_in_place(backend.commit("c", Change([b"x"] * 10_000, op_id="op-0"))).repeated
    assert len(rows) > MESSAGES / BATCH_ROWS
    assert max(rows) <= BATCH_ROWS + 200
    assert stored(path, "entries") == 2, "closing waited for the deletion"
    assert stored(path, "garbage") == 0
    assert stored(path, "operations") == MESSAGES / 10_000
    print(f"{MESSAGES:,} messages deleted in {len(rows)} transactions, the largest of {max(rows):,} rows")


def test_a_large_drop_is_many_transactions(rows: list[int], tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        for start in range(0, 30_000, 10_000):
            run_in_place(backend.commit("c", Change([b"x"] * 10_000, op_id=f"op-{start}")))
        rows.clear()
        run_in_place(backend.commit("c", Change(drop_before=29_990, base=29_990, note=b"a summary")))
        for window in (Window(), Window(start=0), Window(limit=99, newest=True)):
            head, entries = run_in_place(backend.read("c", window))
            assert head is not None
            assert (head.length, [entry.position for entry in entries]) == (10, list(range(29_990, 30_000)))
    assert max(rows) <= BATCH_ROWS + 200
    assert stored(path, "entries") == 10
    assert stored(path, "garbage") == 0


def test_a_large_replacement_is_many_transactions(rows: list[int], tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        for start in range(0, 30_000, 10_000):
            run_in_place(backend.commit("c", Change([b"x"] * 10_000, op_id=f"op-{start}")))
        rows.clear()
        run_in_place(backend.commit("c", Change([b"new"], cut_from=0)))
        for window in (Window(), Window(start=0), Window(limit=99, newest=True)):
            head, entries = run_in_place(backend.read("c", window))
            assert head is not None
            assert (head.length, [entry.position for entry in entries]) == (1, [30_000])
        assert run_in_place(backend.commit("c", Change([b"x"] * 10_000, op_id="op-0"))).repeated
    assert max(rows) <= BATCH_ROWS + 200
    assert stored(path, "entries") == 1
    assert stored(path, "garbage") == 0


async def blob(size: int) -> AsyncIterator[bytes]:
    for _ in range(size):
        yield bytes(2**20)


async def first_chunk(backend: SQLiteBackend, name: str) -> bytes:
    return await anext(backend.read_blob("a", name))


def test_a_large_blob_is_removed_in_pieces(rows: list[int], tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        name = run_in_place(backend.write_blob("a", blob(20)))
        run_in_place(backend.commit("a", Change([b"x"], blobs=(name,))))
        run_in_place(backend.commit("a", Change(delete=True)))
        with pytest.raises(NotFoundError):
            run_in_place(first_chunk(backend, name))
        rows.clear()
        assert run_in_place(backend.sweep()).bytes == 20 * 2**20
        assert len(rows) >= 5
    assert stored(path, "chunks") == stored(path, "blobs") == 0


def test_a_sweep_of_many_streams_is_many_transactions(rows: list[int], tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        for n in range(2_000):
            run_in_place(backend.commit(f"s{n}", Change([b"x"] * 3, expires_at=1, labels={"k": "v"})))
        rows.clear()
        assert run_in_place(backend.sweep()).streams == 2_000
    assert max(rows) <= BATCH_ROWS + 200
    assert stored(path, "entries") == stored(path, "labels") == 0


def test_an_opening_does_not_wait_for_its_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        for n in range(300):
            run_in_place(backend.commit(f"s{n}", Change([b"x"], expires_at=1)))
    goes_on = threading.Event()
    found = sweep.all_garbage

    def waits(connection: sqlite3.Connection, now: int) -> list[sweep.Step]:
        assert goes_on.wait(30)
        return found(connection, now)

    monkeypatch.setattr("stowfast.backends.sqlite.backend.all_garbage", waits)
    with stowfast.sync.open(f"sqlite:///{path}") as stores:  # its sweep has not begun
        stores.messages.add_message("c", {"n": 1})
        assert stores.messages.count("c") == 1
        goes_on.set()
        assert stores.sweep().streams + stored(path, "streams WHERE incarnation IS NULL") >= 300


def test_tombstones_end_after_a_week(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        for n in range(2_500):
            run_in_place(backend.commit(f"s{n}", Change([b"x"], op_id="op")))
            run_in_place(backend.commit(f"s{n}", Change(delete=True)))
        run_in_place(backend.sweep())
        assert stored(path, "streams") == stored(path, "operations") == 2_500
        later = time.time_ns() + 8 * DAY * 1_000
        monkeypatch.setattr(time, "time_ns", lambda: later)
        run_in_place(backend.sweep())
        assert stored(path, "streams") == stored(path, "operations") == 0


@pytest.mark.slow
def test_op_ids_do_not_grow_without_bound(tmp_path: Path) -> None:
    """Dropped, undone, and without entries: of all these the newest 64 stay, and some until the next cleaning."""
    path = tmp_path / "agent.db"
    with opened(path) as backend:
        for n in range(4_000):
            run_in_place(backend.commit("dropped", Change([b"x"], op_id=f"op-{n}", drop_before=n - 10)))
            run_in_place(backend.commit("undone", Change([b"x"], op_id=f"op-{n}")))
            run_in_place(backend.commit("undone", Change(cut_from=n)))
            run_in_place(backend.commit("noted", Change(note=b"%d" % n, op_id=f"op-{n}")))
        assert run_in_place(backend.commit("dropped", Change([b"x"], op_id="op-3995"))).repeated
        assert run_in_place(backend.commit("undone", Change([b"x"], op_id="op-3950"))).repeated
    assert stored(path, "operations") < 3 * (1_024 + OPERATIONS_REMEMBERED) + 20


@pytest.mark.slow
def test_a_pop_costs_the_same_with_any_number_of_op_ids(rows: list[int], tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    steps: list[int] = []
    for count in (10, 20_000):
        with opened(path) as backend:
            for start in range(0, count, 500):
                for n in range(start, min(start + 500, count)):
                    run_in_place(backend.commit(f"c{count}", Change([b"x"], op_id=f"op-{n}")))
            instructions = 0

            def count_one() -> int:
                nonlocal instructions
                instructions += 1
                return 0

            backend._file.writer.set_progress_handler(count_one, 10)
            run_in_place(backend.commit(f"c{count}", Change(cut_from=count - 1)))
            steps.append(instructions)
    print(f"tens of steps of a pop beside 10 and 20,000 op_ids: {steps}")
    assert steps[1] < 2 * steps[0] + 10
