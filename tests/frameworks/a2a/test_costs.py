"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from a2a.server.cluster import TaskVersion
from a2a.types import a2a_pb2

from stowfast.adapters.a2a import StowfastPushNotificationConfigStore, StowfastTaskStore, StowfastVersionedTaskStore
from tests.frameworks.a2a.users import CANCELED, SUBMITTED, WORKING, call_of, task_named, update_of

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

ADA = call_of("ada")


async def test_the_requests_of_each_call_on_one_server(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastTaskStore(counted_bucket.url) as store:
        await store.save(task_named("other"), ADA)  # the opening
        assert await requests(lambda: store.save(task_named("t"), ADA)) == {"GET": 1, "PUT": 1}
        assert await requests(lambda: store.save(task_named("t", WORKING), ADA)) == {"PUT": 1}
        assert await requests(lambda: store.get("t", ADA)) == {"GET": 1}


async def test_the_requests_of_each_call_in_a_cluster(counted_bucket: CountedBucket) -> None:
    versions = [TaskVersion.MISSING]
    async with StowfastVersionedTaskStore(counted_bucket.url) as store:

        async def save(state: a2a_pb2.TaskState) -> None:
            task = task_named("t", state)
            version = await store.save(task, event=update_of(task), prev=None, prev_version=versions[-1], context=ADA)
            versions.append(version)

        await store.as_task_store.save(task_named("other"), ADA)  # the opening
        for state, expected in ((SUBMITTED, {"PUT": 2}), (WORKING, {"PUT": 1}), (CANCELED, {"GET": 1, "PUT": 1})):
            assert await counted_bucket.requests(partial(save, state)) == expected


async def test_the_requests_of_each_call_of_the_push_configurations(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastPushNotificationConfigStore(counted_bucket.url) as store:
        await store.set_info("other", a2a_pb2.TaskPushNotificationConfig(), ADA)  # the opening
        for name in "ab":
            config = a2a_pb2.TaskPushNotificationConfig(id=name, url="https://example.com/hook")
            made = await requests(partial(store.set_info, "t", config, ADA))
            assert made == {"GET": 1, "PUT": 1}
        assert await requests(lambda: store.get_info_for_dispatch("t")) == {"GET": 1}
