"""What LangGraph's savers have in common: a checkpoint a step, a channel for each key of the state.

Messages are message objects, as `MessagesState` makes them. A saver is told which channels are new since the checkpoint
before; what the nodes of a graph would also write (`put_writes`) is not charged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, convert_to_messages, convert_to_openai_messages
from langgraph.checkpoint.base import empty_checkpoint

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from bench.tasks.workloads import Job

__all__ = ["Saver"]


class Saver:
    saver: BaseCheckpointSaver[Any]

    def open(self, job: Job) -> None:
        self.newest: RunnableConfig | None = None
        self.versions: dict[str, Any] = {}
        self.said: list[BaseMessage] = []

    def close(self) -> None:
        pass

    def prepared(self, state: dict[str, Any]) -> dict[str, Any]:
        if "messages" not in state:
            return state
        self.said += convert_to_messages(state["messages"][len(self.said) :])
        return {"messages": list(self.said)}

    def save(self, task: str, state: dict[str, Any]) -> None:
        self.versions = {name: self.saver.get_next_version(self.versions.get(name), None) for name in state}
        checkpoint = empty_checkpoint() | {"channel_values": state, "channel_versions": self.versions}
        metadata = {"source": "loop", "step": 1, "parents": {}}
        self.newest = self.saver.put(self.newest or _thread(task), checkpoint, metadata, self.versions)

    def load(self, task: str) -> Any:
        newest = self.saver.get_tuple(_thread(task))
        return newest and newest.checkpoint["channel_values"]

    def as_given(self, loaded: Any) -> dict[str, Any]:
        """Undo what the message objects do, to compare: no content is an empty string there."""
        if "messages" not in loaded:
            return loaded
        given = convert_to_openai_messages(loaded["messages"])
        return {"messages": [{**message, "content": message["content"] or None} for message in given]}


def _thread(task: str) -> RunnableConfig:
    return {"configurable": {"thread_id": task, "checkpoint_ns": ""}}
