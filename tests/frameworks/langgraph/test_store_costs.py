"""The costs of the store on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.adapters.langgraph import StowfastStore

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

N = ("n",)
ITEMS = 30


async def test_the_requests_of_each_call_on_a_bucket(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastStore(counted_bucket.url, ttl={"refresh_on_read": True}) as store:
        await store.aput(("other",), "k", {})
        assert await requests(lambda: store.aput(N, "k", {"a": 1})) == {"GET": 1, "PUT": 1}
        assert await requests(lambda: store.aput(N, "k", {"a": 2})) == {"PUT": 1}
        assert await requests(lambda: store.aget(N, "k")) == {"GET": 1}
        for number in range(ITEMS):
            await store.aput(N, str(number), {"a": number})
        first = await requests(lambda: store.asearch(N))
        assert first["GET"] <= ITEMS + 2
        assert await requests(lambda: store.asearch(N)) == {"LIST": 1, "GET": 1}
        assert await requests(lambda: store.asearch(N, filter={"a": 3})) == {"LIST": 1, "GET": 1}
        await store.aput(N, "3", {"a": 99})
        assert await requests(lambda: store.asearch(N)) == {"LIST": 1, "GET": 2}
        assert await requests(lambda: store.alist_namespaces(prefix=N)) == {"LIST": 1}
        await store.aput(("short",), "k", {"a": 1}, ttl=5)
        assert await requests(lambda: store.aget(("short",), "k")) == {"GET": 1, "PUT": 1}
