"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.adapters.openai_agents import StowfastSession

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

ITEM: Any = {"role": "user", "content": "a"}


async def test_the_requests_of_each_call_on_a_bucket(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastSession("s", counted_bucket.url) as session:

        async def compact() -> None:
            snapshot = await session._get_compaction_snapshot(2)
            assert snapshot is not None
            assert await snapshot.replace_suffix(0, [ITEM])

        await session.add_items([ITEM] * 4)
        assert await requests(lambda: session.add_items([ITEM] * 2)) == {"PUT": 1}
        assert await requests(session.get_items) == {"GET": 1}
        assert await requests(session.pop_item) == {"GET": 2, "PUT": 1}
        assert await requests(compact) == {"GET": 2, "PUT": 1}
        assert await requests(session.clear_session) == {"GET": 1, "PUT": 1}
