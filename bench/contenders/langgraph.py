"""LangGraph's `SqliteSaver` as a graph uses it: message objects, and the whole list in every checkpoint.

That is what `MessagesState` and every prebuilt agent keep, so an append costs more with every message there is. Its
newest checkpoint is the conversation, which makes the load one row.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, convert_to_messages, convert_to_openai_messages
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver

from bench.stopwatch import serve

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig

__all__ = ["open_saver", "put", "thread"]


def open_saver(path: Path) -> SqliteSaver:
    connection = sqlite3.connect(path, check_same_thread=False)  # as `from_conn_string` opens it
    connection.execute("PRAGMA synchronous = FULL")
    saver = SqliteSaver(connection)
    saver.setup()  # sets WAL
    return saver


def thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name, "checkpoint_ns": ""}}


def put(saver: SqliteSaver, parent: RunnableConfig, messages: list[Any]) -> RunnableConfig:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"messages": messages}
    return saver.put(parent, checkpoint, {"source": "loop", "step": 1, "parents": {}}, {})


class LangGraph:
    def open(self, path: Path) -> None:
        self.saver = open_saver(path)
        self.newest: dict[str, RunnableConfig] = {}
        self.lists: dict[str, list[BaseMessage]] = {}

    def close(self) -> None:
        self.saver.conn.close()

    def add(self, name: str, message: dict[str, Any]) -> None:
        self.add_all(name, [message])

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        # The running graph holds the list, so it is not read back here: in the peer's favour, and true.
        so_far = self.lists.setdefault(name, [])
        so_far += convert_to_messages(messages)
        self.newest[name] = put(self.saver, self.newest.get(name) or thread(name), so_far)

    def load(self, name: str) -> list[BaseMessage]:
        newest = self.saver.get_tuple(thread(name))
        return newest.checkpoint["channel_values"]["messages"] if newest else []

    def last(self, name: str, count: int) -> list[BaseMessage]:
        return self.load(name)[-count:]

    def as_given(self, messages: list[BaseMessage]) -> list[dict[str, Any]]:
        """Undo what the message objects do, to compare: no content is an empty string there."""
        given = convert_to_openai_messages(messages)
        return [{**message, "content": message["content"] or None} for message in given]


if __name__ == "__main__":
    serve(LangGraph)
