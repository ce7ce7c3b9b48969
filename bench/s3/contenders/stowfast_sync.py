"""Stowfast on a bucket, without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stowfast
import stowfast.sync
from bench.s3.contenders.stowfast_async import BATCH, url
from bench.s3.stopwatch import serve

if TYPE_CHECKING:
    from bench.s3.workloads import Job


class StowfastSync:
    def open(self, job: Job) -> None:
        self.opened = stowfast.sync.open(url(job))
        self.stores = self.opened.__enter__()

    def close(self) -> None:
        self.opened.__exit__(None, None, None)

    def add(self, name: str, message: dict[str, Any]) -> int:
        return self.stores.messages.add_message(name, message)

    def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        for start in range(0, len(messages), BATCH):
            self.stores.messages.add_messages(name, messages[start : start + BATCH])

    def load(self, name: str) -> list[dict[str, Any]]:
        return self.stores.messages.get_messages(name)

    def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return self.stores.messages.get_messages(name, last=count)

    def count(self, name: str) -> int:
        return self.stores.messages.count(name)

    def conversations(self, count: int) -> list[str]:
        return [one.context_id for one in self.stores.messages.contexts(limit=count)]

    def save(self, name: str, state: dict[str, Any]) -> None:
        self.stores.tasks.save(stowfast.TaskState(task_id=name, data=state))

    def load_task(self, name: str) -> Any:
        return self.stores.tasks.load(name)

    def put_artifact(self, name: str, content: bytes) -> None:
        self.stores.artifacts.create(stowfast.Artifact(artifact_id=name, content=content))

    def get_artifact(self, name: str) -> Any:
        return self.stores.artifacts.get(name)


if __name__ == "__main__":
    serve(StowfastSync)
