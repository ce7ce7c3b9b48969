"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.adapters.key_value import StowfastKeyValueStore

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

KEYS = 20


async def test_the_requests_of_each_call_on_a_bucket(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastKeyValueStore(counted_bucket.url) as store:
        await store.put("other", {}, ttl=60)  # the opening, and the bucket's clock for ten minutes
        assert await requests(lambda: store.put("k", {"n": 1}, ttl=60)) == {"GET": 1, "PUT": 1}
        assert await requests(lambda: store.put("k", {"n": 2}, ttl=60)) == {"PUT": 1}
        assert await requests(lambda: store.get("k")) == {"GET": 1}
        assert await requests(lambda: store.ttl("k")) == {"GET": 1}
        assert await requests(lambda: store.delete("k")) == {"GET": 2, "PUT": 1}
        await store.put_many([str(number) for number in range(KEYS)], [{"n": 1}] * KEYS, collection="c")
        assert await requests(lambda: store.keys("c")) == {"LIST": 1, "GET": KEYS + 1}
        few = await requests(lambda: store.keys("c", limit=3))
        assert few["GET"] <= 9  # a bucket reads eight at least
