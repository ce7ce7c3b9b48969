"""An import adds everything once: at a repeat, at growth of the source, beside another import, after a kill."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import stowfast
from stowfast import InvalidError, importing
from stowfast.abc import Change
from stowfast.backends.memory import MemoryBackend
from stowfast.importing.streams import SourceStream, document
from stowfast.importing.writing import StreamWriter
from stowfast.moving import Copied
from tests.unit.importing.sources import START, insert, messages, sessions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPENAI = "openai-agents"


async def test_messages_times_and_order_stay(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {"b": messages(3), "a/x": messages(2, 7)})
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from(OPENAI, str(source), stores)
        assert (done.streams, done.entries, done.complete) == (2, 5, True)
        assert await stores.messages.get_messages("b") == messages(3)
        entries = [entry async for entry in stores.messages.entries("a%2Fx")]
        assert [entry.message for entry in entries] == messages(2, 7)
        assert {entry.created_at for entry in entries} == {datetime.fromisoformat(START).replace(tzinfo=UTC)}
        info = await stores.messages.info("b")
        assert info is not None
        assert (info.count, info.updated_at) == (3, entries[0].created_at)


async def test_a_repeat_adds_nothing_and_growth_is_added(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(3), "b": messages(1)})
    async with stowfast.open("memory:") as stores:
        await importing.import_from(OPENAI, str(source), stores)
        again = await importing.import_from(OPENAI, str(source), stores)
        assert (again.streams, again.entries, again.already_there) == (0, 0, 2)
        for start in (3, 5):
            sessions(source, {"a": messages(2, start)})
            grown = await importing.import_from(OPENAI, str(source), stores)
            assert (grown.streams, grown.entries, grown.already_there, grown.complete) == (1, 2, 1, True)
        assert await stores.messages.get_messages("a") == messages(7)


async def test_an_import_leaves_a_sweep_nothing(tmp_path: Path) -> None:
    """A stream that begins has no calls to forget: a sweep would take two commits for each of them."""
    source = sessions(tmp_path / "s.db", {f"{n}": messages(3) for n in range(50)})
    target = tmp_path / "target.db"

    def left() -> int:
        with closing(sqlite3.connect(target)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM garbage").fetchone()
        return int(count)

    async with stowfast.open(f"sqlite:///{target}?sweep=false") as stores:
        stores.backend._sweep_if_due = lambda: None  # type: ignore[attr-defined]  # else it is swept meanwhile
        assert (await importing.import_from(OPENAI, str(source), stores)).streams == 50
        assert left() == 0
        sessions(source, {f"{n}": messages(2, 3) for n in range(50)})
        assert (await importing.import_from(OPENAI, str(source), stores)).entries == 100
        assert left() == 0
        for n in range(1_024):
            await stores.documents.put("d", {"n": n})
        assert left() == 1


async def test_changes_at_the_target_stay(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(3), "b": messages(3), "c": messages(3), "d": messages(3)})
    async with stowfast.open("memory:") as stores:
        await stores.messages.add_message("d", {"own": True})
        assert not (await importing.import_from(OPENAI, str(source), stores)).complete
        await stores.messages.add_message("a", {"own": 1})
        await stores.messages.pop_message("b")
        await stores.messages.set_metadata("c", {"own": 2})
        assert (await importing.import_from(OPENAI, str(source), stores)).already_there == 3
        sessions(source, {name: messages(2, 3) for name in "abcd"})
        done = await importing.import_from(OPENAI, str(source), stores)
        assert [one.stream for one in done.differences] == [f"messages/{name}" for name in "abcd"]
        assert done.entries == 0
        assert await stores.messages.get_messages("a") == [*messages(3), {"own": 1}]
        assert await stores.messages.get_messages("b") == messages(2)
        assert await stores.messages.get_messages("d") == [{"own": True}]
        await stores.messages.delete("d")
        assert (await importing.import_from(OPENAI, str(source), stores)).streams == 1
        assert await stores.messages.get_messages("d") == messages(5)
        position = await stores.messages.add_message("d", {"own": True})
        assert position == 5


async def test_times_never_go_back_and_never_lie_ahead(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(1)}, moment="2026-01-02 03:04:05")
    for moment in ("2025-01-01 00:00:00", "9999-12-31 23:59:59", "no time", 1e300, None, "2026-01-02 03:04:06.5"):
        sessions(source, {"a": messages(1)}, moment=moment)
    async with stowfast.open("memory:") as stores:
        assert (await importing.import_from(OPENAI, str(source), stores)).entries == 7
        times = [entry.created_at async for entry in stores.messages.entries("a")]
        assert times == sorted(times)
        assert times[0] == times[1] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert times[2] <= datetime.now(UTC)


async def test_a_scope(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(3)})
    async with stowfast.open("memory:") as stores:
        await importing.import_from(OPENAI, str(source), stores, into="tenant-1")
        assert await stores.within("tenant-1").messages.get_messages("a") == messages(3)
        assert await stores.messages.get_messages("a") == []


async def test_two_imports_at_once_add_everything_once(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {f"s{number}": messages(5) for number in range(150)})
    async with stowfast.open(f"sqlite:///{tmp_path}/t.db") as stores:
        calls = [importing.import_from(OPENAI, str(source), stores) for _ in range(3)]
        for done in await asyncio.gather(*calls):
            assert done.complete
        assert await stores.messages.get_messages("s149") == messages(5)
        page = await stores.messages.contexts(limit=1_000, info=True)
        assert [one.count for one in page] == [5] * 150


CHILD = """
import asyncio, sys
from stowfast import importing
asyncio.run(importing.import_from("openai-agents", sys.argv[1], sys.argv[2], progress=lambda _: print(flush=True)))
"""


def killed(command: list[str], after: int) -> None:
    """Kill a command after so many lines."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(after):
            child.stdout.readline()
        child.kill()


async def test_a_killed_import_is_completed_by_the_next(tmp_path: Path) -> None:
    named = {f"s{number:03}": messages(4) for number in range(640)}
    source, target = sessions(tmp_path / "s.db", named), f"sqlite:///{tmp_path}/t.db"
    for steps in range(4):
        killed([sys.executable, "-c", CHILD, str(source), target], steps)
    await importing.import_from(OPENAI, str(source), target)
    async with stowfast.open(target) as stores:
        for name in named:
            assert await stores.messages.get_messages(name) == messages(4)


async def test_a_conversation_in_parts(tmp_path: Path) -> None:
    many = messages(25_000)
    source = sessions(tmp_path / "s.db", {"a": messages(2), "long": many, "z": messages(1)})
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from(OPENAI, str(source), stores)
        assert (done.streams, done.entries) == (3, 25_003)
        assert await stores.messages.get_messages("long") == many
        assert (await importing.import_from(OPENAI, str(source), stores)).already_there == 3


async def test_a_refused_message_of_a_later_part_leaves_what_is_before_it(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {"long": [*messages(10_001), "no json"], "z": messages(1)})
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from(OPENAI, str(source), stores)
        assert [one.stream for one in done.differences] == ["messages/long"]
        assert await stores.messages.get_messages("long") == messages(10_000)
        assert await stores.messages.get_messages("z") == messages(1)


async def test_a_document_is_replaced_until_it_is_changed_here() -> None:
    backend = MemoryBackend()

    async def write(data: Any) -> Copied:
        done = Copied()
        found = document("d", data, 1_700_000_000)
        await StreamWriter(backend, done, lambda _: None).write(iter([found]))
        return done

    stores = stowfast.Stores(backend)
    assert (await write({"a": 1})).streams == 1
    assert (await write({"a": 1})).already_there == 1
    assert (await write({"a": "x" * 40_000})).streams == 1
    found = await stores.documents.get("d")
    assert found is not None
    assert (found.data, found.version) == ({"a": "x" * 40_000}, 2)
    await stores.documents.put("d", {"own": True}, expect=found)
    assert not (await write({"a": 3})).complete
    found = await stores.documents.get("d")
    assert found is not None
    assert (found.data, found.version) == ({"own": True}, 3)


async def test_an_error_of_an_entry_is_that_of_its_stream() -> None:
    def entries() -> Iterator[tuple[int | None, bytes]]:
        yield 1, b"{}"
        raise InvalidError("no")

    streams = [SourceStream("messages/a", entries(), Change()), SourceStream("messages/b", iter([(2, b"{}")]))]
    done, backend = Copied(), MemoryBackend()
    await StreamWriter(backend, done, lambda _: None).write(iter(streams))
    assert [*done.differences] == [("messages/a", "no")]
    assert [head and head.next for head in await backend.heads(["messages/a", "messages/b"])] == [None, 1]


async def test_branches_of_openai_agents(tmp_path: Path) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(3), "plain": messages(1)})
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("CREATE TABLE message_structure (id, session_id, message_id, branch_id, sequence_number)")
    insert(source, "message_structure", *((None, "a", number, "main", number) for number in (1, 2, 3)))
    insert(source, "message_structure", (None, "a", 2, "other", 2), (None, "a", 1, "other", 1))
    insert(source, "message_structure", (None, "a", 1, "third", 4), (None, "a", 3, "third", 5))
    async with stowfast.open("memory:") as stores:
        assert (await importing.import_from(OPENAI, str(source), stores)).streams == 4
        assert await stores.messages.get_messages("a") == messages(3)
        assert await stores.messages.get_messages("plain") == messages(1)
        assert await stores.messages.get_messages("a/branches/other") == messages(2)
        for branch, at in (("other", 2), ("third", 1)):
            info = await stores.messages.info(f"a/branches/{branch}")
            assert info is not None
            assert info.metadata == {"forked_from": "a", "branch": branch, "at": at}
