"""Clauses of the stores together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stowfast.errors import InvalidError, UnavailableError
from stowfast.records import Artifact, TaskState
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.faults import LosesAnswers
from stowfast.wrappers import Shared

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make


async def a_context_is_deleted_with_its_artifacts_and_tasks(make: Make[Stores]) -> None:
    """`delete_context` leaves nothing of a conversation, its artifacts and its tasks, and touches no other one."""
    async with make() as stores:
        context, other = unique("context"), unique("context")
        for one in (context, other):
            await stores.messages.add_message(one, {"in": one})
            for number in range(3):
                await stores.artifacts.create(Artifact(artifact_id=f"{one}/{number}", context_id=one, content="x"))
                await stores.tasks.save(TaskState(task_id=f"{one}/{number}", context_id=one))
        await stores.tasks.save(TaskState(task_id=f"{context}/free"))
        lossy = LosesAnswers(Shared(stores.backend), count=4)
        over = type(stores)(lossy)
        for _ in range(4):
            await raises(UnavailableError, over.delete_context(context), "a lost answer")
        await over.delete_context(context)
        for one, count in ((context, 0), (other, 3)):
            same(await stores.messages.count(one), min(count, 1), "messages")
            same(len(await stores.artifacts.list(context_id=one)), count, "artifacts")
            same(len(await stores.tasks.list(context_id=one)), count, "tasks")
        same(await stores.tasks.info(f"{context}/free") is not None, True, "a task without a context")
        await stores.delete_context(context)
        await raises(InvalidError, stores.delete_context(""), "an empty id")


async def stores_serve_several_event_loops(make: Make[Stores]) -> None:
    """Stores opened in one event loop work in later ones, one after the other, in any thread."""
    async with make() as stores:
        context = unique("context")

        async def use(number: int) -> int:
            position = await stores.messages.add_message(context, {"n": number})
            await stores.documents.update(context, lambda found: found, default=number)
            return position

        for number in range(3):
            same(await asyncio.to_thread(asyncio.run, use(number)), number, "a position given in another event loop")
        same([one["n"] for one in await stores.messages.get_messages(context)], [0, 1, 2], "messages of all loops")


CLAUSES = clauses(__name__)
