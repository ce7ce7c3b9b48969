"""Threads of LangGraph's own savers, imported: our saver returns the same, and a graph goes on with them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import _messages_delta_reducer

import stowfast.sync
from stowfast import importing
from stowfast.adapters.ids import joined
from stowfast.adapters.langgraph import StowfastSaver
from tests.frameworks.langgraph.graphs import Log, checkpoint, config, rich, text, travelled
from tests.frameworks.large import LENGTHS, import_twice

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


CALL = {"name": "pay", "args": {"bill": [1.5, None, "ü😀"]}, "id": "call-1", "type": "tool_call"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 50}}


def talk(saver: Any) -> Any:
    """Return a graph that answers with a call and its result."""
    graph = StateGraph(MessagesState)
    graph.add_node("call", lambda _: {"messages": [AIMessage("", tool_calls=[CALL], response_metadata={"model": "m"})]})
    graph.add_node("tool", lambda _: {"messages": [ToolMessage("paid", tool_call_id="call-1", artifact={"n": 1})]})
    graph.add_edge(START, "call")
    graph.add_edge("call", "tool")
    return graph.compile(checkpointer=saver)


def say(saver: Any, thread: str) -> list[dict[str, Any]]:
    """Say something in a thread, and return its messages as dumps."""
    said = HumanMessage(
        [{"type": "text", "text": f"hi {thread}"}, PICTURE], additional_kwargs={"at": datetime.now(UTC)}
    )
    found = talk(saver).invoke({"messages": [said]}, config(thread))
    return cast("list[dict[str, Any]]", json.loads(json.dumps(messages_to_dict(found["messages"]), default=isoformat)))


def isoformat(value: Any) -> str:
    return str(value.isoformat())


def assert_conversations(theirs: Any, source: str, url: str) -> None:
    """The messages of the newest checkpoint are a conversation, which grows, and is left where its past changed."""

    def imported() -> Any:
        return asyncio.run(importing.import_from("langgraph", source, url))

    threads = [thread for thread in THREADS if thread != " "]
    said = {thread: say(theirs, thread) for thread in threads}
    line(theirs).invoke({"log": ["no messages"]}, config("log"))
    done = imported()
    assert (done.streams, done.differences) == (2 * len(threads) + 1, [])
    assert (imported().streams, imported().entries) == (0, 0)
    with stowfast.sync.open(url) as stores:
        for thread, messages in said.items():
            assert stores.messages.get_messages(joined("langgraph", thread)) == messages
        assert len(messages_from_dict(stores.messages.get_messages("langgraph/one"))) == 3
        found = stores.messages.contexts(where={"thread_id": "one"})
        assert [one.context_id for one in found] == ["langgraph/one"]
        said["one"] = say(theirs, "one")
        assert (imported().streams, imported().already_there) == (2, 2 * len(threads) + 1)
        assert stores.messages.get_messages("langgraph/one") == said["one"]

        state = talk(theirs).get_state(config("one")).values["messages"]
        talk(theirs).update_state(config("one"), {"messages": [RemoveMessage(state[-1].id)]}, "tool")
        changed = HumanMessage("other", id=talk(theirs).get_state(config("a/b")).values["messages"][0].id)
        talk(theirs).update_state(config("a/b"), {"messages": [changed]}, "tool")
        done = imported()
        reasons = {one.stream: one.reason for one in done.differences}
        assert sorted(reasons) == ["messages/langgraph/a%2Fb", "messages/langgraph/one"]
        assert "fewer entries in the source" in reasons["messages/langgraph/one"]
        assert "entry at 0 is another one" in reasons["messages/langgraph/a%2Fb"]
        assert done.streams == 2  # the threads
        assert stores.messages.get_messages("langgraph/one") == said["one"]
        stores.messages.delete("langgraph/a%2Fb")
        imported()
        assert stores.messages.get_messages("langgraph/a%2Fb")[0]["data"]["content"] == "other"


@pytest.mark.filterwarnings("ignore")
def test_conversations_of_sqlite(tmp_path: Path, durable_url: str) -> None:
    source = str(tmp_path / "theirs.db")
    with SqliteSaver.from_conn_string(source) as theirs:
        assert_conversations(theirs, source, durable_url)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.service
def test_conversations_of_postgres(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = str(request.getfixturevalue("postgres_server").url()).partition("?")[0]
    with PostgresSaver.from_conn_string(url) as theirs:
        theirs.setup()
        for thread in [one.config["configurable"]["thread_id"] for one in theirs.list(None)]:
            theirs.delete_thread(thread)  # of another test
        assert_conversations(theirs, url, f"sqlite:///{tmp_path}/ours.db")


@pytest.mark.filterwarnings("ignore")
async def test_messages_as_differences_are_named(tmp_path: Path) -> None:
    state: Any = TypedDict("state", {"messages": Annotated[list[Any], DeltaChannel(_messages_delta_reducer)]})
    graph = StateGraph(state)
    graph.add_node("answer", lambda _: {"messages": [AIMessage("yes")]})
    graph.add_edge(START, "answer")
    source, url = str(tmp_path / "theirs.db"), f"sqlite:///{tmp_path}/ours.db"
    with SqliteSaver.from_conn_string(source) as theirs:
        graph.compile(checkpointer=theirs).invoke({"messages": [HumanMessage("no?")]}, config("t"))
    done = await importing.import_from("langgraph", source, url)
    assert [(one.stream, "DeltaChannel" in one.reason) for one in done.differences] == [("messages/langgraph/t", True)]
    assert done.streams == 1


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


@pytest.mark.filterwarnings("ignore")
def test_two_hundred_threads(tmp_path: Path) -> None:
    """Each thread has up to four checkpoints, with all its messages up to there, and writes."""
    source, url = str(tmp_path / "theirs.db"), f"sqlite:///{tmp_path}/ours.db"
    with SqliteSaver.from_conn_string(source) as theirs:
        for thread, length in LENGTHS.items():
            at, messages = config(thread), [AIMessage(f"{number} 😀", tool_calls=[CALL]) for number in range(length)]
            for step, end in enumerate(sorted({1, length // 3, length // 2, length} - {0})):
                at = theirs.put(at, checkpoint(step, messages=messages[:end]), {"step": step}, {})
                theirs.put_writes(at, [("messages", messages[-1])], f"task {step}")
        asyncio.run(import_twice("langgraph", source, url))
        with StowfastSaver(url) as ours, stowfast.sync.open(url) as stores:
            for thread in LENGTHS:
                found = shown(theirs, thread)
                assert shown(ours, thread) == found
                dumps = json.loads(json.dumps(messages_to_dict(found[0][1]["channel_values"]["messages"])))
                assert stores.messages.get_messages(joined("langgraph", thread)) == dumps
