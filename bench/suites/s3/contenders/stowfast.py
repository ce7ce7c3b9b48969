"""Stowfast on a bucket."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import stowfast
from bench.suites.stores import AsyncStores, SyncStores


class _Verbs:
    batch = 50
    """A history is written in batches of so many messages, as turns would, so that it is stored as one that grew."""

    add = property(attrgetter("stores.messages.add_message"))
    add_all = property(attrgetter("stores.messages.add_messages"))
    load = property(attrgetter("stores.messages.get_messages"))
    count = property(attrgetter("stores.messages.count"))
    save = property(attrgetter("stores.tasks.save"))
    load_task = property(attrgetter("stores.tasks.load"))
    put_artifact = property(attrgetter("stores.artifacts.create"))
    get_artifact = property(attrgetter("stores.artifacts.get"))

    def as_task(self, name: str, state: dict[str, Any]) -> tuple[Any, ...]:
        return (stowfast.TaskState(task_id=name, data=state),)

    def as_artifact(self, name: str, content: bytes) -> tuple[Any, ...]:
        return (stowfast.Artifact(artifact_id=name, content=content),)


class StowfastAsync(_Verbs, AsyncStores):
    async def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return await self.stores.messages.get_messages(name, last=count)

    async def conversations(self, count: int) -> list[str]:
        return [one.context_id for one in await self.stores.messages.contexts(limit=count)]


class StowfastSync(_Verbs, SyncStores):
    def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return self.stores.messages.get_messages(name, last=count)

    def conversations(self, count: int) -> list[str]:
        return [one.context_id for one in self.stores.messages.contexts(limit=count)]
