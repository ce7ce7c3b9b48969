"""Streams of all kinds under one id, for the clauses of retention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.abc import Query
from stowfast.records import Artifact, TaskState
from stowfast.testing.data.messages import say

if TYPE_CHECKING:
    from stowfast.records import DueRemoval
    from stowfast.stores import Stores

__all__ = ["counted", "fill", "forget", "streams_of", "swept"]


async def fill(stores: Stores, id: str, count: int = 1) -> None:
    """Add so many messages, versions of an artifact and versions of a task, all under one id."""
    for number in range(count):
        await stores.messages.add_message(id, say(number))
        await stores.artifacts.put(Artifact(artifact_id=id, content=f"{number}"))
        await stores.tasks.save(TaskState(task_id=id, data=number))


async def counted(stores: Stores, id: str) -> list[int]:
    """Return the numbers of messages, of versions of the artifact, and of versions of the task."""
    versions, states = await stores.artifacts.versions(id), await stores.tasks.history(id)
    return [await stores.messages.count(id), len(versions), len(states)]


async def streams_of(stores: Stores, token: str) -> list[Any]:
    """Return the heads of conversations, artifacts and tasks by the beginning of their ids."""
    found: list[Any] = []
    for kind in ("messages", "artifacts", "tasks"):
        page = await stores.backend.streams(Query(f"{kind}/{token}", heads=True))
        found += [one.head for one in page.streams]
    return found


async def swept(stores: Stores) -> list[DueRemoval]:
    """Carry out the rules, and return the removals."""
    return [one async for one in stores.rules.carry_out()]


async def forget(stores: Stores) -> None:
    """Remove all rules."""
    for rule in await stores.rules.list():
        await stores.rules.remove(rule.kind, prefix=rule.prefix, where=rule.where, scope=rule.scope)
