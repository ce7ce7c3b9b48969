"""Broken stores: faults of several stores together."""

from __future__ import annotations

import asyncio

from stowfast import Stores
from stowfast.testing import whole
from stowfast.wrappers import Wrapper
from tests.mutants import breaks


@breaks(whole.a_context_is_deleted_with_its_artifacts_and_tasks)
class DeletesTheConversationAlone(Stores):
    async def delete_context(self, context_id):
        await self.messages.delete(context_id)


@breaks(whole.a_context_is_deleted_with_its_artifacts_and_tasks)
class DeletesByPrefix(Stores):
    async def delete_context(self, context_id):
        await super().delete_context(context_id)
        for task in await self.tasks.list():
            if task.task_id.startswith(context_id):
                await self.tasks.delete(task.task_id)


@breaks(whole.stores_serve_several_event_loops)
class BelongsToItsLoop(Wrapper):
    loop: asyncio.AbstractEventLoop | None = None

    async def commit(self, stream, change):
        self.loop = self.loop or asyncio.get_running_loop()
        assert asyncio.get_running_loop() is self.loop
        return await super().commit(stream, change)
