"""Sessions of the SDK's own stores, imported: our session returns the same items."""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, cast

import pytest
from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, EncryptedSession, SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

import stowfast
from stowfast import importing
from stowfast.adapters.ids import joined
from stowfast.adapters.openai_agents import StowfastSession
from tests.frameworks.large import LENGTHS, import_twice

if TYPE_CHECKING:
    from pathlib import Path

    from agents.memory import SessionABC

SESSIONS = 20
HOSTILE_IDS = ["a/b", "a\0b", "..", "%", "ü", " ", "x" * 2000, "'; DROP TABLE t; --"]
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 200


def turn(number: int) -> list[Any]:
    """Return the items of one turn: text, a picture, a tool call and its result."""
    call = f"call-{number}"
    return [
        {"role": "user", "content": [{"type": "input_text", "text": f"{number} 😀 \u2028 ü"}]},
        {"role": "user", "content": [{"type": "input_image", "detail": "auto", "image_url": PICTURE}]},
        {"type": "function_call", "call_id": call, "name": "weather", "arguments": '{"city": "Köln"}'},
        {"type": "function_call_output", "call_id": call, "output": '{"degrees": 1.5, "more": [null, true]}'},
        {"role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
    ]


async def test_sessions_of_sqlite(tmp_path: Path, durable_url: str) -> None:
    source, dice = str(tmp_path / "theirs.db"), random.Random(7)
    names = [*HOSTILE_IDS, *(f"user-{number}" for number in range(SESSIONS))]
    for name in names:
        for number in range(dice.randint(1, 3)):
            theirs = SQLiteSession(name, source)
            await theirs.add_items(turn(number))
            theirs.close()
    assert (await importing.import_from("openai-agents", source, durable_url)).streams == len(names)
    again = await importing.import_from("openai-agents", source, durable_url)
    assert (again.entries, again.already_there) == (0, len(names))
    for name in names:
        theirs = SQLiteSession(name, source)
        async with StowfastSession(name, durable_url) as ours:
            expected = await theirs.get_items()
            assert await ours.get_items() == expected
            await ours.add_items(turn(9))
            assert await ours.get_items() == expected + turn(9)
        theirs.close()


async def test_branches(tmp_path: Path, durable_url: str) -> None:
    source = str(tmp_path / "theirs.db")
    theirs = AdvancedSQLiteSession(session_id="s", db_path=source, create_tables=True)
    for number in range(3):
        await theirs.add_items(turn(number))
    await theirs.create_branch_from_turn(3, "other")
    await theirs.add_items(turn(7))
    plain = AdvancedSQLiteSession(session_id="t", db_path=source, create_tables=True)
    await plain.add_items(turn(1))
    done = await importing.import_from("openai-agents", source, durable_url)
    assert (done.streams, done.complete) == (3, True)
    async with StowfastSession("s", durable_url) as ours, StowfastSession("t", durable_url) as second:
        assert await ours.get_items() == await theirs.get_items(branch_id="main")
        assert await second.get_items() == await plain.get_items()
        stores = await ours._opener.open()
        branch = await theirs.get_items(branch_id="other")
        assert len(branch) > len(turn(7))
        assert await stores.messages.get_messages("s/branches/other") == branch
        info = await stores.messages.info("s/branches/other")
        assert info is not None
        assert info.metadata == {"forked_from": "s", "branch": "other", "at": len(branch) - len(turn(7))}
    theirs.close()
    plain.close()


async def test_encrypted_items_are_read_with_the_same_key(tmp_path: Path, durable_url: str) -> None:
    source, key = str(tmp_path / "theirs.db"), "k" * 32
    plain = SQLiteSession("s", source)
    await EncryptedSession(session_id="s", underlying_session=plain, encryption_key=key).add_items(turn(1))
    plain.close()
    assert (await importing.import_from("openai-agents", source, durable_url, keep_encrypted=True)).complete
    async with StowfastSession("s", durable_url) as ours:
        assert "weather" not in str(await ours.get_items())
        # Annotated with the base class of the SDK's own sessions; it calls the methods of the protocol alone.
        inside = cast("SessionABC", ours)
        theirs = EncryptedSession(session_id="s", underlying_session=inside, encryption_key=key)
        assert await theirs.get_items() == turn(1)


@pytest.mark.parametrize("key", ["k" * 32, "pass ü 😀", urlsafe_b64encode(bytes(range(32))).decode()])
async def test_encrypted_items_are_decrypted_with_the_key(tmp_path: Path, key: str) -> None:
    """Items of any age: the file does not tell the time to live. A session of another key is refused."""
    source, url = str(tmp_path / "theirs.db"), f"sqlite:///{tmp_path}/ours.db"
    names = [*HOSTILE_IDS, *(f"user-{number}" for number in range(20))]
    plain = SQLiteSession("plain", source)
    await plain.add_items(turn(0))
    sealed = {name: sealed_session(name, source, key) for name in names}
    for number, session in enumerate(sealed.values()):
        await session.add_items(turn(number))
    foreign = sealed_session("zz", source, "another")
    await foreign.add_items(turn(1))

    refused = await importing.import_from("openai-agents", source, url)
    assert (refused.streams, len(refused.differences)) == (1, len(names) + 1)
    assert all("is encrypted: give the key" in one.reason for one in refused.differences)
    for repeat in range(2):
        done = await importing.import_from("openai-agents", source, url, key=key)
        assert [one.stream for one in done.differences] == ["messages/zz"]
        assert (done.streams, done.already_there) == ((len(names), 1), (0, len(names) + 1))[repeat]
        assert key not in str(done)
    for number, (name, session) in enumerate(sealed.items()):
        async with StowfastSession(name, url) as ours:
            assert await ours.get_items() == turn(number) == await session.get_items()
    session = sealed["user-1"]
    session.ttl = -1  # expired for the SDK
    assert await session.get_items() == []
    await session.add_items(turn(5))
    assert (await importing.import_from("openai-agents", source, url, key=key)).entries == len(turn(5))
    async with StowfastSession("user-1", url) as ours:
        assert await ours.get_items() == turn(names.index("user-1")) + turn(5)
    for session in (*sealed.values(), foreign):
        cast("SQLiteSession", session.underlying_session).close()
    plain.close()


def sealed_session(name: str, source: str, key: str) -> EncryptedSession:
    return EncryptedSession(session_id=name, underlying_session=SQLiteSession(name, source), encryption_key=key)


NAMED = ["chats", "chats 2; DROP TABLE t; --", 'a"b', "%s ? %", "ü😀", "select"]


@pytest.mark.parametrize("name", NAMED)
async def test_renamed_tables(tmp_path: Path, name: str) -> None:
    source, url = f"sqlite+aiosqlite:///{tmp_path}/theirs.db", f"sqlite:///{tmp_path}/ours.db"
    engine = create_async_engine(source)
    options: Any = {"engine": engine, "create_tables": True, "sessions_table": f"{name} s", "messages_table": name}
    theirs = SQLAlchemySession("s", **options)
    await theirs.add_items(turn(1))
    await SQLAlchemySession("other", engine=engine, create_tables=True).add_items(turn(2))
    done = await importing.import_from("openai-agents", source, url, tables={"agent_messages": name})
    assert (done.streams, done.complete) == (1, True)
    async with StowfastSession("s", url) as ours:
        assert await ours.get_items() == await theirs.get_items() == turn(1)
    await engine.dispose()


async def test_branches_beside_other_tables(tmp_path: Path) -> None:
    """The structure of branches belongs to one table of messages, and says nothing of the other."""
    source, url = str(tmp_path / "theirs.db"), f"sqlite:///{tmp_path}/ours.db"
    named: Any = {"sessions_table": "chats_s", "messages_table": "chats"}
    theirs = AdvancedSQLiteSession(session_id="s", db_path=source, create_tables=True, **named)
    for number in range(2):
        await theirs.add_items(turn(number))
    await theirs.create_branch_from_turn(2, "other")
    await theirs.add_items(turn(7))
    plain = SQLiteSession("s", source)
    await plain.add_items(turn(4))
    assert (await importing.import_from("openai-agents", source, url)).streams == 1
    tables = {"agent_messages": "chats"}
    assert (await importing.import_from("openai-agents", source, url, into="b", tables=tables)).streams == 2
    async with stowfast.open(url) as stores:
        assert await stores.messages.get_messages("s") == turn(4)
        scoped = stores.within("b").messages
        assert await scoped.get_messages("s") == await theirs.get_items(branch_id="main")
        assert await scoped.get_messages("s/branches/other") == await theirs.get_items(branch_id="other")
    theirs.close()
    plain.close()


async def test_sessions_of_sqlalchemy(tmp_path: Path, durable_url: str) -> None:
    source = f"sqlite+aiosqlite:///{tmp_path}/theirs.db"
    engine = create_async_engine(source)
    names = [*HOSTILE_IDS, *(f"user-{number}" for number in range(20))]
    theirs = {name: SQLAlchemySession(name, engine=engine, create_tables=True) for name in names}
    for number, session in enumerate(theirs.values()):
        await session.add_items(turn(number))
        await session.add_items(turn(number + 1))
    for repeat in range(2):
        done = await importing.import_from("openai-agents", source, durable_url)
        assert (done.complete, done.streams) == (True, 0 if repeat else len(names))
    for name, session in theirs.items():
        async with StowfastSession(name, durable_url) as ours:
            assert await ours.get_items() == await session.get_items()
    await engine.dispose()


KINDS = ["SQLiteSession", "SQLAlchemySession", "AdvancedSQLiteSession", "EncryptedSession"]


def large(kind: str, path: Path, engine: Any, name: str) -> Any:
    if kind == "SQLAlchemySession":
        return SQLAlchemySession(name, engine=engine, create_tables=True)
    if kind == "AdvancedSQLiteSession":
        return AdvancedSQLiteSession(session_id=name, db_path=path, create_tables=True)
    plain = SQLiteSession(name, path)
    return plain if kind == "SQLiteSession" else sealed_session(name, str(path), "key")


@pytest.mark.parametrize("kind", KINDS)
async def test_two_hundred_sessions(tmp_path: Path, kind: str) -> None:
    source, url = tmp_path / "theirs.db", f"sqlite:///{tmp_path}/ours.db"
    engine, expected = create_async_engine(f"sqlite+aiosqlite:///{source}"), {}
    for number, (name, length) in enumerate(LENGTHS.items()):
        theirs = large(kind, source, engine, name)
        await theirs.add_items((turn(number) * length)[:length])
        expected[name] = await theirs.get_items()
        if kind != "SQLAlchemySession":
            getattr(theirs, "underlying_session", theirs).close()
    await engine.dispose()
    key = {"key": "key"} if kind == "EncryptedSession" else {}
    assert (await import_twice("openai-agents", str(source), url, **key)).entries == sum(LENGTHS.values())
    async with stowfast.open(url) as stores:
        for name, items in expected.items():
            assert await stores.messages.get_messages(joined(name)) == items
