"""Hostile sources are refused, or one conversation of them is: nothing of them runs."""

from __future__ import annotations

import os
import pickle
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import stowfast
from stowfast import DamagedError, InvalidError, StowfastError, UnavailableError, importing
from stowfast.backends.memory import MemoryBackend
from stowfast.importing.streams import SourceStream
from stowfast.importing.writing import StreamWriter
from stowfast.moving import Copied
from tests.unit.importing.sources import OPENAI as TABLE
from tests.unit.importing.sources import START, database, insert, messages, sessions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPENAI = "openai-agents"


async def imported(source: Path, kind: str = OPENAI) -> tuple[Copied, dict[str, Any]]:
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from(kind, str(source), stores)
        page = await stores.messages.contexts(limit=1_000)
        return done, {one.context_id: await stores.messages.get_messages(one.context_id) for one in page}


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (77,)


BAD_MESSAGES: list[Any] = [
    pickle.dumps(Bomb()),
    b"\xff\xfe{}",
    "no json",
    "[1]",
    "3",
    "null",
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": "\\ud83d"}',
    '{"a":' * 100_000,
    '{"a":' + "[" * 300 + "]" * 300 + "}",
    '{"a": ' + "9" * 5_000 + "}",
    None,
    7,
    "",
]


@pytest.mark.parametrize("bad", BAD_MESSAGES, ids=lambda bad: repr(bad)[:20])
async def test_a_bad_message_refuses_its_conversation_alone(tmp_path: Path, bad: Any) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(2), "bad": [*messages(2), bad, *messages(1)], "c": messages(1)})
    done, found = await imported(source)
    assert [one.stream for one in done.differences] == ["messages/bad"]
    assert "message 2" in done.differences[0].reason
    assert found == {"a": messages(2), "c": messages(1)}


@pytest.mark.parametrize(
    "id", ["a/b", "a\0b", "..", "../../etc/passwd", "%2F", "ü" * 2_000, " ", "'; DROP TABLE t; --"]
)
async def test_ids_stay_apart(tmp_path: Path, id: str) -> None:
    done, found = await imported(sessions(tmp_path / "s.db", {id: messages(1), "a": messages(2)}))
    assert done.complete
    assert len(found) == 2
    assert all(("\0" not in one and one.split("/")[0] != "..") or one == ".." for one in found)


@pytest.mark.parametrize("id", [b"\xff\xfe", None, ""])
async def test_an_id_that_is_no_text_is_refused(tmp_path: Path, id: Any) -> None:
    done, found = await imported(sessions(tmp_path / "s.db", {id: messages(1), "zz": messages(2)}))
    assert len(done.differences) == 1
    assert found == {"zz": messages(2)}


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x id, 1 session_id, 1 message_data FROM n"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE other (x)",
        "CREATE TABLE agent_messages (id, session_id, created_at)",
        "CREATE VIEW agent_messages AS SELECT 1 id, 'a' session_id, '{}' message_data, NULL created_at",
        f"CREATE VIEW agent_messages AS {ENDLESS}",
        "CREATE VIRTUAL TABLE agent_messages USING fts5(id, session_id, message_data, created_at)",
        "CREATE TABLE agent_messages (id, session_id, created_at, message_data AS (hex(zeroblob(50000000))))",
    ],
)
async def test_a_wrong_schema_and_a_view_are_refused(tmp_path: Path, statement: str) -> None:
    with pytest.raises(InvalidError, match=r"table|column"):
        await imported(database(tmp_path / "s.db", statement))


async def test_files_that_are_no_database(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with pytest.raises(InvalidError, match="no such file"):
        await imported(path)
    for content in (b"", b"SQLite format 3\0", b"x" * 5_000, pickle.dumps(Bomb())):
        path.write_bytes(content)
        with pytest.raises(InvalidError, match="no SQLite file"):
            await imported(path)
    with pytest.raises(InvalidError, match="no such file"):
        await imported(tmp_path)
    for address in ("http://localhost/x", "mysql://localhost/x", "file://x"):
        with pytest.raises(InvalidError, match="SQLite file"):
            await importing.import_from(OPENAI, address, "memory:")
    with pytest.raises(InvalidError, match="one of"):
        await importing.import_from("os", str(path), "memory:")


async def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    whole = sessions(tmp_path / "s.db", {"a": messages(500)}).read_bytes()
    path = tmp_path / "cut.db"
    for size in range(100, len(whole), 3_000):
        path.write_bytes(whole[:size])
        with pytest.raises(StowfastError):
            await imported(path)


async def test_flipped_bytes_never_end_in_another_error(tmp_path: Path) -> None:
    whole = sessions(tmp_path / "s.db", {"a": messages(100), "b": messages(100)}).read_bytes()
    path = tmp_path / "flipped.db"
    for at in range(16, len(whole), 611):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with suppress(InvalidError, DamagedError, UnavailableError):
            await imported(path)


async def test_a_row_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db", TABLE)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO agent_messages VALUES (1, 'a', zeroblob(70000000), NULL)")
    with pytest.raises(DamagedError, match="too big") as raised:
        await imported(path)
    assert raised.value.__traceback__ is not None  # it holds the frames, and none of them the file
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.execute("BEGIN EXCLUSIVE")


async def test_a_log_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    path = sessions(tmp_path / "s.db", {"a": messages(1)})
    for suffix in ("-journal", "-wal"):
        beside = tmp_path / f"s.db{suffix}"
        os.mkfifo(beside)
        with pytest.raises(InvalidError, match="no regular file"):
            await imported(path)
        beside.unlink()


async def test_what_was_read_before_damage_is_imported() -> None:
    """The streams of one commit are read first: an error behind them must not take them along."""

    def found() -> Iterator[SourceStream]:
        yield SourceStream("messages/a", iter([(1, b"{}")]))
        yield SourceStream("messages/b", iter([(1, b"{}")]))
        raise DamagedError("from here on")

    backend, done = MemoryBackend(), Copied()
    with pytest.raises(DamagedError, match="from here on"):
        await StreamWriter(backend, done, lambda _: None).write(found())
    assert (done.streams, done.entries) == (2, 2)
    assert [head and head.next for head in await backend.heads(["messages/a", "messages/b"])] == [1, 1]


async def test_the_source_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = sessions(folder / "s.db", {"a": messages(3)})
    for mode in ("delete", "wal"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {mode}")
        before = path.read_bytes()
        done, _ = await imported(path)
        assert done.complete
        assert path.read_bytes() == before
        assert [one.name for one in folder.iterdir()] == ["s.db"]


async def test_a_log_is_read_beside_its_writer(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db", TABLE)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("INSERT INTO agent_messages VALUES (1, 'a', '{}', NULL)")
        writer.commit()
        assert (await imported(path))[1] == {"a": [{}]}
        writer.execute("INSERT INTO agent_messages VALUES (2, 'a', '{\"b\": 1}', NULL)")
        writer.commit()
        assert (await imported(path))[1] == {"a": [{}, {"b": 1}]}


async def test_langchain_rows(tmp_path: Path) -> None:
    path = database(
        tmp_path / "s.db", "CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)"
    )
    insert(path, "message_store", (1, "a", '{"type": "human", "data": {}}'), (2, "b", b"\x80\x04N."), (3, "a", "{}"))
    done, found = await imported(path, "langchain")
    assert [one.stream for one in done.differences] == ["messages/b"]
    assert found == {"a": [{"type": "human", "data": {}}, {}]}


ADK = [
    "CREATE TABLE app_states (app_name, state, update_time)",
    "CREATE TABLE user_states (app_name, user_id, state, update_time)",
    "CREATE TABLE sessions (app_name, user_id, id, state, update_time)",
    "CREATE TABLE events (app_name, user_id, session_id, id, invocation_id, timestamp, event_data)",
]
META = [
    "CREATE TABLE adk_internal_metadata (key, value)",
    "INSERT INTO adk_internal_metadata VALUES ('schema_version', '1')",
]


async def test_adk_rows(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db", *ADK, *META)
    insert(path, "app_states", ("app", '{"a": 1}', START), ("bad", pickle.dumps(Bomb()), START), ("list", "[]", START))
    for name, state in (("a", '{"s": 1}'), ("b", "{}"), ("c", pickle.dumps(Bomb())), ("d", "[]"), ("e", "{}")):
        insert(path, "sessions", ("app", "u", name, state, "2026-01-02 03:04:05.678901"))
    # DatabaseSessionService orders by time and id.
    insert(
        path, "events", ("app", "u", "a", "2", "i", START, '{"x": 2}'), ("app", "u", "a", "1", "i", START, '{"x": 1}')
    )
    insert(path, "events", ("app", "u", "b", "1", "i", START, pickle.dumps(Bomb())))
    insert(path, "events", ("app", "u", "e", None, "i", START, "{}"))
    done, found = await imported(path, "google-adk")
    refused = ["(b'app', b'u', b'c')", "(b'app', b'u', b'd')", "b'bad'", "b'list'", "messages/adk/app/u/b"]
    assert sorted(one.stream for one in done.differences) == refused
    assert sorted(found) == ["adk/app/u/a", "adk/app/u/e"]
    assert [one["id"] for one in found["adk/app/u/a"]] == ["1", "2"]


@pytest.mark.parametrize(
    "statements",
    [
        [*ADK[:3], "CREATE TABLE events (app_name, user_id, session_id, id, invocation_id, timestamp, actions)"],
        [*ADK, META[0], "INSERT INTO adk_internal_metadata VALUES ('schema_version', '0')"],
        [*ADK, META[0]],
    ],
)
async def test_pickled_schemas_of_adk_are_refused(tmp_path: Path, statements: list[str]) -> None:
    with pytest.raises(InvalidError, match="adk migrate session"):
        await imported(database(tmp_path / "s.db", *statements), "google-adk")


CHECKPOINT_COLUMNS = "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata"
LANGGRAPH = [
    f"CREATE TABLE checkpoints ({CHECKPOINT_COLUMNS})",
    "CREATE TABLE writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)",
]
GOOD = b"\x82\xa2id\xa1c\xaechannel_values\x81\xa1a\x01"
BAD_CHECKPOINTS: list[Any] = [
    ("pickle", pickle.dumps(Bomb()), "{}"),
    ("msgpack", pickle.dumps(Bomb()), "{}"),
    ("msgpack+aes", GOOD, "{}"),
    (None, GOOD, "{}"),
    ("msgpack", GOOD[:-1], "{}"),
    ("msgpack", b"\x81\xaechannel_values\x01", "{}"),
    ("msgpack", b"\x81\xaechannel_values" + b"\x91" * 100_000, "{}"),
    ("msgpack", b"\xdf\xff\xff\xff\xff", "{}"),
    ("msgpack", b"", "{}"),
    ("msgpack", "text", "{}"),
    ("msgpack", None, "{}"),
    ("msgpack", GOOD, "[]"),
    ("msgpack", GOOD, pickle.dumps(Bomb())),
]


@pytest.mark.parametrize("bad", BAD_CHECKPOINTS, ids=lambda bad: repr(bad)[:30])
async def test_a_bad_checkpoint_refuses_its_thread(tmp_path: Path, bad: Any) -> None:
    path = database(tmp_path / "s.db", *LANGGRAPH)
    insert(path, "checkpoints", *((thread, "", "c", None, "msgpack", GOOD, "{}") for thread in "abcd"))
    insert(path, "checkpoints", ("b", "", "d", "c", *bad))
    insert(path, "writes", ("c", "", "c", "t", "", 0, "x", "pickle", pickle.dumps(Bomb())))
    insert(path, "writes", ("d", "", "c", "t", "", "one", "x", "null", b""))
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from("langgraph", str(path), stores)
        assert [one.stream for one in done.differences] == [f"langgraph/{thread}" for thread in "bcd"]
        assert done.streams == 1


def ext(code: int, *parts: object) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, msgspec.msgpack.encode(parts))


def nested(depth: int) -> msgspec.msgpack.Ext:
    """Return an object in an object, and so on."""
    begin, value = b"\x93\xa1m\xa1n", msgspec.msgpack.encode("x")
    sizes = [len(begin) + len(value) + number * (len(begin) + 6) for number in range(depth)]
    data = b"".join(b"\xc9" + size.to_bytes(4, "big") + b"\0" + begin for size in reversed(sizes)) + value
    return msgspec.msgpack.Ext(0, begin + data)


def message(**fields: object) -> msgspec.msgpack.Ext:
    return ext(5, "os", "_exit", {"type": "human", "content": "hi", **fields}, "system")


HI = {"type": "human", "data": {"type": "human", "content": "hi"}}
SAID: list[tuple[Any, Any]] = [
    ([message()], [HI]),
    ([message(), {"role": "user"}], [HI, {"role": "user"}]),
    (msgspec.msgpack.Ext(7, msgspec.msgpack.encode([message()])), [HI]),
    ([message(at=ext(3, "os", "x", "2026-01-02", "system"))], [{**HI, "data": {**HI["data"], "at": "2026-01-02"}}]),  # type: ignore[dict-item]
    ([message(inner=message())], [{**HI, "data": {**HI["data"], "inner": HI["data"]}}]),  # type: ignore[dict-item]
    ([], None),
    ("text", None),
    ({"a": 1}, None),
    (["text"], None),
    ([ext(5, "m", "n", {"no": "message"}, "")], None),
    ([ext(5, "m", "n", ["no fields"], "")], None),
    ([ext(2, "m", "n", {"type": "human", "content": ""})], [{"type": "human", "content": ""}]),
    ([message(a=float("nan"))], "JSON"),
    ([message(a=b"bytes")], "JSON"),
    ([{1: "a key"}], "JSON"),
    ([message(a=ext(6, "array"))], "numpy"),
    ([message(a=ext(99, "x"))], "not known"),
    ([message(a=ext(5))], "damaged"),
    ([message(a=msgspec.msgpack.Ext(5, b"\xc1"))], "no MessagePack"),
    ([message(a=msgspec.msgpack.Ext(0, b"\x91" * 100_000))], "no MessagePack"),
    ([message(a=nested(50_000))], "no MessagePack"),
]


@pytest.mark.parametrize(("messages", "expected"), SAID, ids=lambda one: repr(one)[:30])
async def test_messages_of_a_checkpoint_are_read_as_data(tmp_path: Path, messages: Any, expected: Any) -> None:
    path = database(tmp_path / "s.db", *LANGGRAPH)
    for number, values in enumerate(({"messages": [message(content="old")]}, {"messages": messages})):
        checkpoint = msgspec.msgpack.encode({"id": f"c{number}", "channel_values": values})
        insert(path, "checkpoints", ("t", "", f"c{number}", None, "msgpack", checkpoint, "{}"))
    insert(path, "checkpoints", ("t", "inner", "c9", None, "msgpack", GOOD, "{}"))
    done, found = await imported(path, "langgraph")
    assert done.streams == 1 + isinstance(expected, list)  # the thread with its bytes, whatever is in them
    assert found == ({"langgraph/t": expected} if isinstance(expected, list) else {})
    if isinstance(expected, str):
        assert [one.stream for one in done.differences] == ["messages/langgraph/t"]
        assert expected in done.differences[0].reason
    else:
        assert done.complete
