"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index.core.base.llms.types import ChatMessage

from stowfast.adapters.llama_index import StowfastChatStore

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

SAID = ChatMessage(role="user", content="a")


async def test_the_requests_of_each_call_on_a_bucket(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastChatStore(counted_bucket.url) as store:
        await store.add_message("other", SAID)  # the opening
        assert await requests(lambda: store.add_messages("k", [SAID] * 5)) == {"GET": 1, "PUT": 1}
        assert await requests(lambda: store.add_message("k", SAID)) == {"PUT": 1}
        assert await requests(lambda: store.get_messages("k")) == {"GET": 2}
        assert await requests(lambda: store.archive_oldest_messages("k", 2)) == {"GET": 3, "PUT": 1}
        assert await requests(lambda: store.get_messages("k")) == {"GET": 2}
        assert await requests(lambda: store.set_messages("k", [SAID] * 3)) == {"GET": 1, "PUT": 1}
