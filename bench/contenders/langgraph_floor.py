"""LangGraph's `SqliteSaver` at the least it could ever write: a plain dict, alone in its checkpoint.

No graph writes so little: to have the conversation back one must list its checkpoints. It stands here so that nobody
can say Stowfast was compared with the growing list only.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from bench.contenders.langgraph import open_saver, put, thread
from bench.stopwatch import serve

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.runnables import RunnableConfig


class LangGraphFloor:
    def open(self, path: Path) -> None:
        self.saver = open_saver(path)
        self.newest: dict[str, RunnableConfig] = {}

    def close(self) -> None:
        self.saver.conn.close()

    def add(self, name: str, message: dict[str, Any]) -> None:
        self.newest[name] = put(self.saver, self.newest.get(name) or thread(name), [message])

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self.add(name, message)

    def load(self, name: str) -> list[dict[str, Any]]:
        return self.last(name, None)

    def last(self, name: str, count: int | None) -> list[dict[str, Any]]:
        newest_first = islice(self.saver.list(thread(name)), count)
        messages = [message for saved in newest_first for message in saved.checkpoint["channel_values"]["messages"]]
        return messages[::-1]


if __name__ == "__main__":
    serve(LangGraphFloor)
