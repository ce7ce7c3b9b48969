"""langgraph-checkpoint-objectstorage as a graph uses it: message objects, the whole list in every checkpoint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, convert_to_messages, convert_to_openai_messages
from langgraph.checkpoint.base import empty_checkpoint
from langgraph_checkpoint_objectstorage import ObjectStorageSaver

from bench.s3.stopwatch import serve

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from bench.s3.workloads import Job


class LangGraph:
    def open(self, job: Job) -> None:
        self.saver = ObjectStorageSaver.from_conn_string(
            f"s3://{job.bucket}/{job.prefix}",
            key=os.environ["AWS_ACCESS_KEY_ID"],
            secret=os.environ["AWS_SECRET_ACCESS_KEY"],
            client_kwargs={"endpoint_url": job.endpoint},
        )
        self.newest: dict[str, RunnableConfig] = {}
        self.lists: dict[str, list[BaseMessage]] = {}

    def close(self) -> None:
        pass

    def _put(self, name: str, values: dict[str, Any]) -> None:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = values
        parent = self.newest.get(name) or _thread(name)
        self.newest[name] = self.saver.put(parent, checkpoint, {"source": "loop", "step": 1, "parents": {}}, {})

    def _get(self, name: str) -> dict[str, Any]:
        newest = self.saver.get_tuple(_thread(name))
        return newest.checkpoint["channel_values"] if newest else {}

    def add(self, name: str, message: dict[str, Any]) -> None:
        self.add_all(name, [message])

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        # The running graph holds the list, so it is read once.
        if name not in self.lists:
            self.lists[name] = self.load(name)
        self.lists[name] += convert_to_messages(messages)
        self._put(name, {"messages": self.lists[name]})

    def load(self, name: str) -> list[BaseMessage]:
        return self._get(name).get("messages", [])

    def last(self, name: str, count: int) -> list[BaseMessage]:
        return self.load(name)[-count:]

    def save(self, name: str, state: dict[str, Any]) -> None:
        self._put(name, {"state": state})

    def load_task(self, name: str) -> Any:
        return self._get(name)["state"]

    def as_given(self, messages: list[BaseMessage]) -> list[dict[str, Any]]:
        return convert_to_openai_messages(messages)


def _thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name, "checkpoint_ns": ""}}


if __name__ == "__main__":
    serve(LangGraph)
