"""Sessions of the SDK's own stores, imported: our session returns the same items."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, cast

from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, EncryptedSession, SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

from stowfast import importing
from stowfast.adapters.openai_agents import StowfastSession

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
    theirs.close()
    plain.close()


async def test_encrypted_items_are_read_with_the_same_key(tmp_path: Path, durable_url: str) -> None:
    source, key = str(tmp_path / "theirs.db"), "k" * 32
    plain = SQLiteSession("s", source)
    await EncryptedSession(session_id="s", underlying_session=plain, encryption_key=key).add_items(turn(1))
    plain.close()
    assert (await importing.import_from("openai-agents", source, durable_url)).complete
    async with StowfastSession("s", durable_url) as ours:
        assert "weather" not in str(await ours.get_items())
        # Annotated with the base class of the SDK's own sessions; it calls the methods of the protocol alone.
        inside = cast("SessionABC", ours)
        theirs = EncryptedSession(session_id="s", underlying_session=inside, encryption_key=key)
        assert await theirs.get_items() == turn(1)


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
