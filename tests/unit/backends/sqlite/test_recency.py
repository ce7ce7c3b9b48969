"""Lists by the last change: the index, the active streams, and a file in which one of them is wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stowfast.abc import Change, Query
from stowfast.backends.sqlite import listing as listings
from stowfast.backends.sqlite import recency
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.backends.sqlite.listing import listing
from stowfast.sqlite import compact

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.abc import Listed


async def by_recency(backend: SQLiteBackend, prefix: str, limit: int = 7) -> list[Listed]:
    """Return all streams of a prefix, page by page."""
    found, after = [], None
    while True:
        page, after = await backend.streams(Query(prefix, order="recent", after=after, limit=limit, heads=True))
        found += page
        assert len(page) <= limit
        if after is None:
            return found


async def written(path: Path, count: int = 30) -> list[str]:
    """Write streams of two kinds, some of them active. Return those of the first kind, the last changed first."""
    backend = await SQLiteBackend.open(f"sqlite:///{path}", durability="relaxed")
    for n in range(count):
        await backend.commit(f"messages/{n}", Change([b"one"]))
        await backend.commit(f"tasks/{n}", Change([b"one"]))
    for n in range(0, count, 3):
        for _ in range(3):
            await backend.commit(f"messages/{n}", Change([b"two"]))
    names = [one.name for one in await by_recency(backend, "messages/")]
    await backend.close()
    assert len(set(names)) == count
    return names


def active(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as file:
        return [row[0] for row in file.execute("SELECT stream FROM active ORDER BY stream")]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settle after a few changes."""
    monkeypatch.setattr(recency, "ACTIVE_MOST", 8)
    monkeypatch.setattr(recency, "_ACTIVE_LEFT", 4)
    monkeypatch.setattr(recency, "_NEW_BETWEEN_COUNTS", 1)


async def test_only_a_changed_stream_is_active(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    backend = await SQLiteBackend.open(f"sqlite:///{path}")
    await backend.commit("messages/a", Change([b"one"]))
    await backend.commit("messages/b", Change([b"one"]))
    assert active(path) == []
    await backend.commit("messages/a", Change([b"two"]))
    await backend.commit("messages/a", Change([b"three"]))
    assert len(active(path)) == 1
    assert [one.name for one in await by_recency(backend, "messages/")] == ["messages/a", "messages/b"]
    await backend.commit("messages/b", Change(labels={"user": "u"}, revision=0))
    assert [one.name for one in await by_recency(backend, "messages/")] == ["messages/b", "messages/a"]
    await backend.commit("messages/b", Change(delete=True))
    assert [one.name for one in await by_recency(backend, "messages/")] == ["messages/a"]
    await backend.commit("messages/b", Change([b"new"]))
    assert [one.name for one in await by_recency(backend, "messages/")] == ["messages/b", "messages/a"]
    await backend.close()


@pytest.mark.usefixtures("few")
async def test_a_sweep_settles_those_unchanged_the_longest(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    names = await written(path)
    backend = await SQLiteBackend.open(f"sqlite:///{path}", sweep=False)
    await backend.sweep()
    assert len(active(path)) <= 8
    found = await by_recency(backend, "messages/")
    assert [one.name for one in found] == names
    assert [one.updated_at for one in found] == sorted((one.updated_at for one in found), reverse=True)
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    await backend.close()


@pytest.mark.usefixtures("few")
async def test_another_process_settles_a_stream_that_this_one_appends_to(tmp_path: Path) -> None:
    """The settled stream is active again with the next append, also where its head was remembered."""
    path = tmp_path / "agent.db"
    mine = await SQLiteBackend.open(f"sqlite:///{path}", sweep=False)
    other = await SQLiteBackend.open(f"sqlite:///{path}", sweep=False)
    for n in range(20):
        for _ in range(3):
            await mine.commit(f"messages/{n}", Change([b"mine"]))
    await other.sweep()
    assert len(active(path)) <= 8
    for n in (2, 0, 1):
        receipt = await mine.commit(f"messages/{n}", Change([b"more"]))
        assert receipt.first == 3
    newest = [one.name for one in await by_recency(other, "messages/")][:4]
    assert newest == ["messages/1", "messages/0", "messages/2", "messages/19"]
    assert [len((await other.read(f"messages/{n}")).entries) for n in (0, 1, 2, 3)] == [4, 4, 4, 3]
    await mine.close()
    await other.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM active",
        "DELETE FROM active WHERE stream % 4 = 1",
        "UPDATE OR IGNORE active SET stream = stream + 1",
        "UPDATE streams SET listed_at = NULL",
        "UPDATE streams SET listed_at = NULL WHERE id % 5 = 0",
        "UPDATE streams SET listed_at = -listed_at WHERE id % 5 = 0",
        "UPDATE streams SET listed_at = 9223372036854775807 WHERE id % 5 = 0",
        "UPDATE streams SET listed_at = 'text' WHERE id % 5 = 0",
        "UPDATE streams SET listed_at = x'00' WHERE id % 5 = 0",
        "UPDATE streams SET listed_at = listed_at + 1000000 WHERE id % 5 = 0",
        "UPDATE streams SET listed_at = 1",
    ],
)
@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_a_wrong_place_hides_no_stream(damage: str, limit: int, tmp_path: Path) -> None:
    """A whole list shows each stream once, and its head is right. Compaction brings back the order."""
    path = tmp_path / "agent.db"
    names = await written(path)
    with closing(sqlite3.connect(path)) as file:
        assert file.execute(damage).rowcount > 0
        file.commit()
    backend = await SQLiteBackend.open(f"sqlite:///{path}", sweep=False)
    found = await by_recency(backend, "messages/", limit)
    assert sorted(one.name for one in found) == sorted(names)
    assert all(one.head is not None and one.head.length == (4 if int(one.name[9:]) % 3 == 0 else 1) for one in found)
    await backend.close()
    compact(str(path))
    backend = await SQLiteBackend.open(f"sqlite:///{path}", sweep=False)
    assert [one.name for one in await by_recency(backend, "messages/", limit)] == names
    await backend.close()


async def test_a_stream_that_left_the_index_comes_last(tmp_path: Path) -> None:
    """An index that lost rows of its table, as on a damaged page of the index."""
    path = tmp_path / "agent.db"
    names = await written(path)
    with closing(sqlite3.connect(path)) as file:
        (sql,) = file.execute("SELECT sql FROM sqlite_master WHERE name = 'streams_recent'").fetchone()
        file.execute("PRAGMA writable_schema = ON")
        # Rows that are written while the index is not declared do not come into it.
        file.execute("UPDATE sqlite_master SET sql = replace(sql, 'IS NOT NULL', 'IS 1') WHERE name = 'streams_recent'")
        file.commit()
    with closing(sqlite3.connect(path)) as file:
        file.execute("REINDEX streams_recent")
        file.execute("PRAGMA writable_schema = ON")
        file.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'streams_recent'", (sql,))
        file.commit()
        file.execute("DELETE FROM active WHERE stream IN (SELECT id FROM streams WHERE name = ?)", (names[0],))
        file.commit()
    with closing(sqlite3.connect(path)) as file:
        assert "missing from index streams_recent" in str(file.execute("PRAGMA integrity_check").fetchall())
    backend = await SQLiteBackend.open(f"sqlite:///{path}", sweep=False)
    found = [one.name for one in await by_recency(backend, "messages/")]
    assert sorted(found) == sorted(names)
    assert found != names
    await backend.close()
    compact(str(path))
    backend = await SQLiteBackend.open(f"sqlite:///{path}", sweep=False)
    assert [one.name for one in await by_recency(backend, "messages/")] == names
    await backend.close()


async def test_a_list_does_not_read_the_streams_that_it_leaves_out(tmp_path: Path) -> None:
    """SQLite's machine takes as many steps for the newest 5 of 50 as of 500."""
    steps = []
    for count in (50, 500):
        backend = await SQLiteBackend.open(f"sqlite:///{tmp_path / str(count)}", durability="relaxed")
        await backend.commit_many([(f"messages/{n}", Change([b"one"])) for n in range(count)])
        seen: list[None] = []
        with backend._file.snapshot() as connection:
            connection.set_progress_handler(lambda seen=seen: seen.append(None), 10)  # type: ignore[misc]
            found = listing(connection, 1, query=Query("messages/", order="recent", limit=5, heads=True), last=None)
            connection.set_progress_handler(None, 0)
        assert len(found.streams) == 5
        steps.append(len(seen))
        await backend.close()
    assert steps[1] < steps[0] * 1.5


async def test_a_list_by_a_label_that_many_have_does_not_read_them_all(tmp_path: Path) -> None:
    """SQLite's machine takes as many steps for the newest 5 of 2,000 as of 8,000 with a label."""
    steps = []
    for count in (2_000, 8_000):
        backend = await SQLiteBackend.open(f"sqlite:///{tmp_path / str(count)}", durability="relaxed")
        await backend.commit_many([(f"messages/{n}", Change([b"one"], labels={"user": "ada"})) for n in range(count)])
        seen: list[None] = []
        with backend._file.snapshot() as connection:
            connection.set_progress_handler(lambda seen=seen: seen.append(None), 10)  # type: ignore[misc]
            query = Query("messages/", {"user": "ada"}, order="recent", limit=5, heads=True)
            found = listing(connection, 1, query=query, last=None)
            connection.set_progress_handler(None, 0)
        assert len(found.streams) == 5
        steps.append(len(seen))
        await backend.close()
    assert steps[1] < steps[0] * 1.5


@pytest.mark.parametrize(
    ("where", "count"),
    [({"all": "1"}, 59), ({"all": "1", "half": "0"}, 30), ({"half": "1"}, 29), ({"old": "1"}, 19), ({"none": "1"}, 0)],
)
async def test_a_list_by_labels_is_the_same_whether_many_or_few_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: dict[str, str], count: int
) -> None:
    backend = await SQLiteBackend.open(f"sqlite:///{tmp_path / 'agent.db'}", durability="relaxed")
    for n in range(60):
        labels = {"all": "1", "half": str(n % 2)} | ({"old": "1"} if n < 20 else {})
        await backend.commit(f"messages/{n}", Change([b"one"], labels=labels))
    for n in (3, 4, 5, 3, 4, 5, 40):
        await backend.commit(f"messages/{n}", Change([b"two"]))
    await backend.commit("messages/7", Change(delete=True))
    query = Query("messages/", where, order="recent", limit=7, heads=True)
    found = []
    for many in (1, 10, 10**6):
        monkeypatch.setattr(listings, "_MANY", many)
        pages, after = [], None
        while True:
            page, after = await backend.streams(query._replace(after=after))
            pages += page
            if after is None:
                break
        found.append(pages)
    assert found[0] == found[1] == found[2]
    heads = [one.head for one in found[0]]
    assert all(head is not None and where.items() <= head.labels.items() for head in heads)
    assert len(heads) == count
    await backend.close()
