"""Histories of `SQLChatMessageHistory`, imported: our history returns the same messages."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import stowfast
from stowfast import importing
from stowfast.adapters.langchain import StowfastChatMessageHistory
from tests.frameworks.langchain.test_history import EVERY_KIND
from tests.frameworks.large import LENGTHS, import_twice

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package announces its own end
    from langchain_community.chat_message_histories import SQLChatMessageHistory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SESSIONS = ["a/b", "..", "%", "ü 😀", "'; DROP TABLE t; --", *(f"user-{number}" for number in range(25))]


def histories(engine: Any, sessions: Iterable[str] = SESSIONS) -> dict[str, Any]:
    """Return a history of its own for each session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {session: SQLChatMessageHistory(session, connection=engine) for session in sessions}


async def test_histories_of_sqlite(tmp_path: Path, durable_url: str) -> None:
    source = f"sqlite:///{tmp_path}/theirs.db"
    engine = create_engine(source, poolclass=NullPool)
    theirs = histories(engine)
    for number, history in enumerate(theirs.values()):
        # EVERY_KIND ends with text with a NUL.
        history.add_messages([HumanMessage(f"{number} 😀"), *EVERY_KIND])
    for repeat in range(2):
        done = await importing.import_from("langchain", source, durable_url)
        assert (done.complete, done.streams) == (True, 0 if repeat else len(SESSIONS))
    for session, history in theirs.items():
        async with StowfastChatMessageHistory(session, durable_url) as ours:
            assert await ours.aget_messages() == history.messages
            await ours.aadd_messages([HumanMessage("more")])
            assert len(await ours.aget_messages()) == len(EVERY_KIND) + 2
    engine.dispose()


async def test_two_hundred_sessions(tmp_path: Path) -> None:
    source, url = f"sqlite:///{tmp_path}/theirs.db", f"sqlite:///{tmp_path}/ours.db"
    engine = create_engine(source, poolclass=NullPool)
    theirs = histories(engine, LENGTHS)
    for name, length in LENGTHS.items():
        theirs[name].add_messages((EVERY_KIND * length)[:length])
    assert (await import_twice("langchain", source, url)).entries == sum(LENGTHS.values())
    async with stowfast.open(url) as stores:
        for name, history in theirs.items():
            async with StowfastChatMessageHistory(name, stores) as ours:
                assert await ours.aget_messages() == history.messages
    engine.dispose()
