"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent_framework import Message, WorkflowCheckpoint

from stowfast.adapters.agent_framework import StowfastCheckpointStorage, StowfastHistoryProvider

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

CHECKPOINTS = 40


async def test_the_requests_of_each_call_of_the_history(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastHistoryProvider(counted_bucket.url) as history:
        await history.save_messages("other", [Message("user", ["a"])])  # the opening
        for text in "ab":
            made = await requests(partial(history.save_messages, "s", [Message("user", [text])]))
            assert made == {"GET": 1, "PUT": 1}
        assert await requests(lambda: history.get_messages("s")) == {"GET": 1}


async def test_the_requests_of_each_call_of_the_checkpoints(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastCheckpointStorage(counted_bucket.url) as storage:
        await storage.save(WorkflowCheckpoint(workflow_name="v", graph_signature_hash="g"))  # the opening
        for number in range(CHECKPOINTS):
            one = WorkflowCheckpoint(workflow_name="w", graph_signature_hash="g", checkpoint_id=str(number))
            assert await requests(partial(storage.save, one)) == {"GET": 1, "PUT": 1}
        assert await requests(lambda: storage.load("0")) == {"GET": 1}
        first = await requests(lambda: storage.get_latest(workflow_name="w"))
        assert first["GET"] <= CHECKPOINTS + 3
        for _ in range(2):
            assert await requests(lambda: storage.get_latest(workflow_name="w")) == {"LIST": 1, "GET": 1}
            await storage.list_checkpoint_ids(workflow_name="w")
        await storage.save(WorkflowCheckpoint(workflow_name="w", graph_signature_hash="g"))
        assert await requests(lambda: storage.get_latest(workflow_name="w")) == {"LIST": 1, "GET": 2}
