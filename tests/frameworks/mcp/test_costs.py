"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_types import JSONRPCNotification

from stowfast.adapters.mcp import StowfastEventStore

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventMessage

    from tests.frameworks.counted import CountedBucket

EVENT = JSONRPCNotification(jsonrpc="2.0", method="n")


async def test_the_requests_of_each_call_on_a_bucket(counted_bucket: CountedBucket) -> None:
    requests, sent = counted_bucket.requests, list[str | None]()

    async def send(message: EventMessage) -> None:
        sent.append(message.event_id)

    async with StowfastEventStore(counted_bucket.url) as store:
        begin = await store.store_event("one", None)
        for _ in range(20):
            assert await requests(lambda: store.store_event("one", EVENT)) == {"PUT": 1}
        assert await requests(lambda: store.replay_events_after(begin, send)) == {"GET": 2}
        assert len(sent) == 20
