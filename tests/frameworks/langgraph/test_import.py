"""Threads of LangGraph's own savers, imported: our saver returns the same, and a graph goes on with them."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph

from stowfast import importing
from stowfast.adapters.langgraph import StowfastSaver
from tests.frameworks.langgraph.graphs import Log, checkpoint, config, rich, text, travelled

if TYPE_CHECKING:
    from pathlib import Path

THREADS = ["one", "a/b", "ü%", " ", "'; DROP TABLE t; --"]


def shown(saver: Any, thread: str) -> list[Any]:
    """Return every checkpoint of a thread, its pending writes in order."""
    return [
        (one.config, one.checkpoint, one.metadata, one.parent_config, sorted(one.pending_writes or (), key=repr))
        for one in saver.list({"configurable": {"thread_id": thread}})
    ]


def line(saver: Any) -> Any:
    """Return a graph of two steps with text in its state."""
    graph = StateGraph(Log)
    graph.add_node("a", lambda state: {"log": [text(len(state["log"]), 2_000)]})
    graph.add_node("b", lambda state: {"log": [f"{len(state['log'])} 😀"]})
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    return graph.compile(checkpointer=saver)


def run_graphs(theirs: Any) -> None:
    for thread in THREADS:
        travelled(rich(theirs), thread, "sync")
    for number in range(15):
        line(theirs).invoke({"log": [f"in {number}"]}, config("long"))
    put = theirs.put(config("values"), checkpoint(1, plain=b"bytes", none=None, deep={"a": [1, {2: "b"}]}), {}, {})
    theirs.put_writes(put, [("x", b"\0\1"), ("y", None), ("__error__", "e"), ("z", uuid.UUID(int=7))], "task", "path")


@pytest.mark.filterwarnings("ignore")
def test_threads_of_sqlite(tmp_path: Path, durable_url: str) -> None:
    source = str(tmp_path / "theirs.db")
    with SqliteSaver.from_conn_string(source) as theirs:
        run_graphs(theirs)
        assert_the_same(theirs, source, durable_url)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.service
def test_threads_of_postgres(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = str(request.getfixturevalue("postgres_server").url()).partition("?")[0]
    with PostgresSaver.from_conn_string(url) as theirs:
        theirs.setup()
        run_graphs(theirs)
        assert_the_same(theirs, url, f"sqlite:///{tmp_path}/ours.db")


def assert_the_same(theirs: Any, source: str, url: str) -> None:
    for number in range(2):
        done = asyncio.run(importing.import_from("langgraph", source, url))
        assert done.differences == []
        assert (done.streams, done.already_there) == ((len(THREADS) + 2, 0), (0, len(THREADS) + 2))[number]
    with StowfastSaver(url) as ours:
        for thread in (*THREADS, "long", "values"):
            assert len(shown(theirs, thread)) > 0
            assert shown(ours, thread) == shown(theirs, thread)
        expected = line(theirs).invoke({"log": ["more"]}, config("long"))
        assert line(ours).invoke({"log": ["more"]}, config("long")) == expected
        grown = line(theirs)
        grown.invoke({"log": ["more"]}, config("grown"))
        asyncio.run(importing.import_from("langgraph", source, url))
        grown.invoke({"log": ["again"]}, config("grown"))
        asyncio.run(importing.import_from("langgraph", source, url))
        assert shown(ours, "grown") == shown(theirs, "grown")


@pytest.mark.filterwarnings("ignore")
async def test_encrypted_and_pickled_checkpoints_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "theirs.db"
    sealed = EncryptedSerializer.from_pycryptodome_aes(JsonPlusSerializer(), key=b"1234567890123456")
    with closing(sqlite3.connect(source)) as connection:
        SqliteSaver(connection, serde=sealed).put(config("sealed"), checkpoint(1, a=1), {}, {})
        theirs = SqliteSaver(connection)
        theirs.put(config("good"), checkpoint(1, a=1), {}, {})
        put = theirs.put(config("pickled"), checkpoint(1, a=1), {}, {})
        theirs.put_writes(put, [("x", 1)], "task")
        connection.execute("UPDATE writes SET type = 'pickle' WHERE thread_id = 'pickled'")
        connection.commit()
    done = await importing.import_from("langgraph", str(source), f"sqlite:///{tmp_path}/ours.db")
    assert done.streams == 1
    assert [one.stream for one in done.differences] == ["langgraph/pickled", "langgraph/sealed"]
    assert "pickle" in done.differences[0].reason
    assert "aes" in done.differences[1].reason
