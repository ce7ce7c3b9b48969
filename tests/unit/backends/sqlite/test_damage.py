"""A damaged file: no wrong data, no raw exception, and nobody suffers from the stream of another."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast import Artifact, TaskState
from stowfast.abc import Change, Query, Window
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.backends.sqlite.rows import checksum_of, decode_text
from stowfast.errors import DamagedError, NotFoundError, StowfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = bytes(range(256)) * 300
FORGED = ("-1", "4611686018427387905", "1.5", "'text'", "x'ff00'", "'[1]'", '\'{"other": "x"}\'')
VALUES = (
    "NULL", "-1", "7", "1.5", "4611686018427387905", "9223372036854775807", "-9223372036854775808",
    "'text'", "CAST(x'ff61' AS TEXT)", "x''", "x'ff00'", "'[1]'", "'{\"status\": 1}'", "'{\"other\": \"x\"}'",
)  # fmt: skip
COLUMNS = {
    "streams": "id name incarnation first next length base revision created_at updated_at expires_at labels note"
    " checksum",
    "active": "stream",
    "entries": "place created_at op_id checksum data",
    "operations": "stream key op_id incarnation first next committed_at checksum",
    "labels": "stream key value",
    "blobs": "id stream name size written_at whole",
    "chunks": "blob start data",
    "links": "stream position blob",
    "garbage": "stream stop",
}


def write(url: str) -> None:
    with stowfast.sync.open(url) as stores:
        for context in ("c", "d"):
            for n in range(5):
                stores.messages.add_message(context, {"n": n}, op_id=f"op-{n}")
            stores.messages.set_metadata(context, {"user": "u"})
            stores.messages.add_message(context, {"n": 5})
        for task in ("t", "u"):
            for n in range(3):
                stores.tasks.save(TaskState(task_id=task, status="working", data={"n": n, "text": "x" * 400}))
            stores.tasks.record(task, "step", {"result": 1})
        for artifact in ("a", "b"):
            stores.artifacts.create(Artifact(artifact_id=artifact, content="small"))
            stores.artifacts.update(Artifact(artifact_id=artifact, content=BODY))
        for document in ("x", "y"):
            stores.documents.put(document, {"n": 1})


def answers(stores: stowfast.sync.Stores) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield every verb of a reader, by name."""
    messages, tasks, artifacts = stores.messages, stores.tasks, stores.artifacts
    for c in ("c", "d"):
        yield f"messages {c}", partial(messages.get_messages, c)
        yield f"last messages {c}", partial(messages.get_messages, c, limit=2)
        yield f"count {c}", partial(messages.count, c)
        yield f"info {c}", partial(messages.info, c)
        yield f"entries {c}", partial(list, messages.entries(c))
    for t in ("t", "u"):
        yield f"task {t}", partial(tasks.load, t)
        yield f"first version {t}", partial(tasks.load, t, version=1)
        yield f"history {t}", partial(tasks.history, t)
        yield f"task info {t}", partial(tasks.info, t)
        yield f"steps {t}", partial(tasks.steps, t)
    for a in ("a", "b"):
        yield f"artifact {a}", partial(artifacts.get, a)
        yield f"first artifact {a}", partial(artifacts.get, a, version=1)
        yield f"artifact info {a}", partial(artifacts.info, a)
        yield f"versions {a}", partial(artifacts.versions, a)
    for x in ("x", "y"):
        yield f"document {x}", partial(stores.documents.get, x)


def lists(stores: stowfast.sync.Stores) -> Iterator[tuple[str, Callable[[], Any], str]]:
    yield "contexts", stores.messages.contexts, "context_id"
    yield "contexts by id", partial(stores.messages.contexts, order="id"), "context_id"
    yield "contexts of a user", partial(stores.messages.contexts, where={"user": "u"}), "context_id"
    yield "tasks", stores.tasks.list, "task_id"
    yield "working tasks", partial(stores.tasks.list, status="working"), "task_id"
    yield "artifacts", stores.artifacts.list, "artifact_id"
    yield "documents", stores.documents.list, "document_id"


def writes(stores: stowfast.sync.Stores) -> Iterator[Callable[[], Any]]:
    for one in ("c", "d"):
        yield partial(stores.messages.add_message, one, {"new": 1})
        yield partial(stores.messages.add_message, one, {"n": 1}, op_id="op-1")
        yield partial(stores.messages.pop_message, one)
    yield partial(stores.tasks.claim_next, "me", timedelta(minutes=1))
    yield partial(stores.tasks.save, TaskState(task_id="t", data={}))
    yield partial(stores.artifacts.update, Artifact(artifact_id="a", content="new"))
    yield partial(stores.documents.put, "x", {"n": 2})
    yield stores.sweep
    for one in ("c", "d"):
        yield partial(stores.messages.delete, one)
    yield partial(stores.tasks.delete, "t")


def asked(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except StowfastError as error:
        return error


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("sound") / "sound.db"
    write(f"sqlite:///{path}")
    return path


def check(path: Path, right: dict[str, Any], case: str, *, values: bool) -> None:
    """Read everything, then write. `values`: an answer must be the right one, or a DamagedError."""
    with stowfast.sync.open(f"sqlite:///{path}", sweep=False, durability="relaxed") as stores:
        for name, question in answers(stores):
            found = asked(question)
            if values:
                refused = isinstance(found, DamagedError | NotFoundError)
                assert refused or found == right[name], f"{case}: {name}: {found}"
        for name, question, key in lists(stores):
            found = question()
            ids = {getattr(one, key) for one in found}
            assert not ids & set(found.damaged), f"{case}: {name}: {found}"
            if values:
                assert all(one in right[name].items for one in found), f"{case}: {name}: {found}"
            if "listed_at" in case or "active" in case:
                assert len(ids) == len(found) == len(right[name].items), f"{case}: {name}: {found}"
        for write in writes(stores):
            asked(write)


@pytest.mark.parametrize("table", COLUMNS)
def test_any_value_in_any_column(table: str, sound: Path, tmp_path: Path) -> None:
    """A value of another type, or out of its bounds, is a DamagedError; and the lists show the others."""
    where = "id = 1" if table in ("streams", "blobs") else "1 = 1"
    assert damage(table, sound, tmp_path, forged=False, where=where) > 0


def test_any_value_as_the_place_in_a_list(sound: Path, tmp_path: Path) -> None:
    """Every stream is listed, and every answer is right."""
    assert damage("streams", sound, tmp_path, forged=False, columns="listed_at") > 0


def test_any_value_in_a_forged_row(sound: Path, tmp_path: Path) -> None:
    """Also with a checksum made for the value, no raw exception comes."""
    for name in ("messages/c", "tasks/t", "artifacts/a", "documents/x"):
        assert damage("streams", sound, tmp_path, forged=True, where=f"name = '{name}'") > 0


def damage(table: str, sound: Path, tmp_path: Path, *, forged: bool, where: str = "1 = 1", columns: str = "") -> int:
    with stowfast.sync.open(f"sqlite:///{sound}", sweep=False) as stores:
        right = {name: question() for name, question in answers(stores)}
        right |= {name: question() for name, question, _ in lists(stores)}
    tried = 0
    for column in (columns or COLUMNS[table]).split():
        for value in FORGED if forged else VALUES:
            path = tmp_path / "damaged.db"
            shutil.copy(sound, path)
            with closing(sqlite3.connect(path)) as file:
                file.text_factory = decode_text
                try:
                    changed = file.execute(f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE {where}").rowcount
                    if table == "garbage":
                        changed = file.execute("INSERT INTO garbage VALUES (1, 3)").rowcount
                        changed = file.execute(f"UPDATE garbage SET {column} = {value}").rowcount
                except sqlite3.Error:
                    continue
                if not changed:
                    continue
                if forged:
                    forge(file)
                file.commit()
            check(path, right, f"{table}.{column} = {value}", values=not forged and column != "name")
            tried += 1
    print(f"{table}: {tried} files")
    return tried


def forge(file: sqlite3.Connection) -> None:
    columns = "name, incarnation, first, next, length, base, revision, labels, note, created_at, updated_at, expires_at"
    for id, *values in file.execute(f"SELECT id, {columns} FROM streams").fetchall():
        try:
            file.execute("UPDATE streams SET checksum = ? WHERE id = ?", (checksum_of(id, *values), id))
        except UnicodeEncodeError:
            return


def test_a_damaged_byte_is_never_wrong_data(sound: Path, tmp_path: Path) -> None:
    """With a damaged byte anywhere in the file, an answer is right or an error of ours."""
    with stowfast.sync.open(f"sqlite:///{sound}", sweep=False) as stores:
        right = {name: question() for name, question in answers(stores)}
    content = sound.read_bytes()
    refused = wrong = reads = gone = 0
    for seed in range(150):
        chance = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 4, 40))):
            damaged[chance.randrange(100, len(damaged))] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{seed}.db"
        path.write_bytes(damaged)
        try:
            with stowfast.sync.open(f"sqlite:///{path}", sweep=False, durability="relaxed") as stores:
                for name, question in answers(stores):
                    found = asked(question)
                    reads += 1
                    refused += isinstance(found, StowfastError)
                    empty = found is None or found in ([], 0, {})
                    gone += empty and found != right[name]
                    wrong += not (found == right[name] or isinstance(found, StowfastError) or empty)
        except StowfastError:
            continue
    print(f"150 files, {reads} reads, {refused} refused, {gone} without the stream, {wrong} wrong")
    assert wrong == 0


async def test_one_damaged_stream_fails_its_own_caller_alone(tmp_path: Path) -> None:
    for damage in (
        "UPDATE streams SET labels = '[1]' WHERE name = 's2'",
        "UPDATE streams SET next = 'x' WHERE name = 's2'",
        "UPDATE entries SET created_at = 'x' WHERE place >> 32 = (SELECT id FROM streams WHERE name = 's2')",
    ):
        path = tmp_path / "agent.db"
        path.unlink(missing_ok=True)
        backend = await SQLiteBackend.open(f"sqlite:///{path}")
        for n in range(5):
            await backend.commit(f"s{n}", Change([b"zero"]))
            await backend.commit(f"s{n}", Change([b"one"]))
        await backend.close()
        with closing(sqlite3.connect(path)) as file:
            file.execute(damage)
            file.commit()
        backend = await SQLiteBackend.open(f"sqlite:///{path}")
        calls = [backend.commit(f"s{n}", Change([b"two"])) for n in range(5)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        kinds = ["DamagedError" if isinstance(one, DamagedError) else type(one).__name__ for one in found]
        assert kinds == ["Receipt", "Receipt", "DamagedError", "Receipt", "Receipt"], damage
        assert "s2" in str(found[2])
        for n in (0, 1, 3, 4):
            assert [entry.data for entry in (await backend.read(f"s{n}")).entries] == [b"zero", b"one", b"two"]
        # It can be deleted, and begins anew.
        await backend.commit("s2", Change(delete=True))
        await backend.commit("s2", Change([b"new"]))
        assert [entry.data for entry in (await backend.read("s2")).entries] == [b"new"]
        await backend.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM entries WHERE place & 4294967295 BETWEEN 3 AND 7",
        "DELETE FROM entries",
        "UPDATE entries SET place = place - 100",
        "UPDATE entries SET place = place + 100",
    ],
)
async def test_count_and_read_agree(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with stowfast.open(f"sqlite:///{path}") as stores:
        await stores.messages.add_messages("c", [{"n": n} for n in range(10)])
        await stores.messages.set_metadata("c", {})
        await stores.tasks.save(TaskState(task_id="t", data={}))
        await stores.artifacts.create(Artifact(artifact_id="a", content="x"))
    with closing(sqlite3.connect(path)) as file:
        file.execute(damage)
        file.commit()
    async with stowfast.open(f"sqlite:///{path}") as stores:
        with pytest.raises(DamagedError, match="'messages/c'"):
            await stores.messages.get_messages("c")
        if "BETWEEN" not in damage:
            with pytest.raises(DamagedError, match="'tasks/t'"):
                await stores.tasks.load("t")
            with pytest.raises(DamagedError, match="'artifacts/a'"):
                await stores.artifacts.get("a")


async def test_entries_are_bound_to_their_stream_and_life(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    backend = await SQLiteBackend.open(f"sqlite:///{path}")
    for stream in ("mine", "yours"):
        await backend.commit(stream, Change([stream.encode()], labels={}))
    await backend.close()
    with closing(sqlite3.connect(path)) as file:
        for statement in ("id = -id", "id = id + 3"):
            file.execute(f"UPDATE streams SET {statement}")
        file.commit()
    backend = await SQLiteBackend.open(f"sqlite:///{path}")
    for stream in ("mine", "yours"):
        with pytest.raises(DamagedError, match=stream):
            await backend.read(stream, Window(limit=1))
    assert [one.damaged for one in (await backend.streams(Query(""))).streams] == [True, True]
    await backend.close()
