"""LangGraph's savers as a graph uses them: a checkpoint for each step, and the whole state in every checkpoint.

Messages are message objects, as `MessagesState` and every prebuilt agent keep them. So an append takes longer with each
message of the conversation, and a load reads one checkpoint. The running graph holds the list of messages, so it is
read once. A graph also writes each node's result (`put_writes`), which is not charged.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, convert_to_messages, convert_to_openai_messages
from langgraph.checkpoint.base import empty_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from langchain_core.runnables import RunnableConfig

    from bench.harness.contender import Job


@contextmanager
def sqlite_saver(job: Job) -> Iterator[Any]:
    """Open a file in WAL mode, which `setup` sets, with `synchronous=FULL`."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    # As `from_conn_string` opens it.
    with closing(sqlite3.connect(job.location, check_same_thread=False)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        saver = SqliteSaver(connection)
        saver.setup()
        yield saver


@contextmanager
def bucket_saver(job: Job) -> Iterator[Any]:
    """Open a bucket. Objects are not compressed, as by default."""
    from langgraph_checkpoint_objectstorage import ObjectStorageSaver

    saver = ObjectStorageSaver.from_conn_string(
        f"s3://{job.location}",
        key=os.environ["AWS_ACCESS_KEY_ID"],
        secret=os.environ["AWS_SECRET_ACCESS_KEY"],
        client_kwargs={"endpoint_url": job.endpoint},
    )
    saver.fs.connect()  # else the first load connects, and opening is not timed
    yield saver


@contextmanager
def postgres_saver(job: Job) -> Iterator[Any]:
    """Open a database. It stores the channels that are new, and PostgreSQL compresses them."""
    from langgraph.checkpoint.postgres import PostgresSaver

    with PostgresSaver.from_conn_string(job.location) as saver:
        saver.setup()
        yield saver


class Graph:
    saver_at: Callable[[Job], AbstractContextManager[Any]]

    def open(self, job: Job) -> None:
        self.stack = ExitStack()
        self.saver = self.stack.enter_context(type(self).saver_at(job))
        self.newest: dict[str, RunnableConfig] = {}
        self.versions: dict[str, Any] = {}
        self.lists: dict[str, list[BaseMessage]] = {}

    def close(self) -> None:
        self.stack.close()

    def put(self, name: str, values: dict[str, Any], versions: dict[str, Any]) -> None:
        checkpoint = empty_checkpoint() | {"channel_values": values, "channel_versions": versions}
        metadata = {"source": "loop", "step": 1, "parents": {}}
        self.newest[name] = self.saver.put(self.newest.get(name) or _thread(name), checkpoint, metadata, versions)

    def get(self, name: str) -> dict[str, Any]:
        newest = self.saver.get_tuple(_thread(name))
        return newest.checkpoint["channel_values"] if newest else {}


class Conversations(Graph):
    """A graph whose state is a list of messages."""

    def add(self, name: str, message: dict[str, Any]) -> None:
        self.add_all(name, [message])

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        if name not in self.lists:
            self.lists[name] = self.load(name)
        self.lists[name] += convert_to_messages(messages)
        self.put(name, {"messages": self.lists[name]}, {})

    def load(self, name: str) -> list[BaseMessage]:
        return self.get(name).get("messages", [])

    def last(self, name: str, count: int) -> list[BaseMessage]:
        return self.load(name)[-count:]

    def save(self, name: str, state: dict[str, Any]) -> None:
        self.put(name, {"state": state}, {})

    def load_task(self, name: str) -> Any:
        return self.get(name)["state"]

    def as_given(self, messages: list[BaseMessage]) -> list[dict[str, Any]]:
        return _plain(messages)


class States(Graph):
    """A graph whose state has a channel for each key. The saver is told which channels are new."""

    def prepared(self, task: str, state: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if "messages" not in state:
            return task, state
        given = self.lists.setdefault(task, [])
        given += convert_to_messages(state["messages"][len(given) :])
        return task, {"messages": list(given)}

    def save(self, task: str, state: dict[str, Any]) -> None:
        self.versions = {name: self.saver.get_next_version(self.versions.get(name), None) for name in state}
        self.put(task, state, self.versions)

    def load(self, task: str) -> Any:
        return self.get(task)

    def as_given(self, loaded: Any) -> dict[str, Any]:
        return {"messages": _plain(loaded["messages"])} if "messages" in loaded else loaded


def _thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name, "checkpoint_ns": ""}}


def _plain(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    """Undo the message objects, to compare: there, missing content is an empty string."""
    given = convert_to_openai_messages(messages)
    return [{**message, "content": message["content"] or None} for message in given]


class ConversationsInSQLite(Conversations):
    saver_at = sqlite_saver


class ConversationsInBucket(Conversations):
    saver_at = bucket_saver


class StatesInSQLite(States):
    saver_at = sqlite_saver


class StatesInBucket(States):
    saver_at = bucket_saver


class StatesInPostgres(States):
    saver_at = postgres_saver
