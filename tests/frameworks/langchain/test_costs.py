"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, HumanMessage

from stowfast.adapters.langchain import StowfastChatMessageHistory

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket


async def test_the_requests_of_each_call_on_a_bucket(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastChatMessageHistory("s", counted_bucket.url) as history:
        await history.aadd_messages([HumanMessage("a")])
        assert await requests(lambda: history.aadd_messages([HumanMessage("b"), AIMessage("c")])) == {"PUT": 1}
        assert await requests(lambda: history.add_messages([HumanMessage("d")])) == {"PUT": 1}
        assert await requests(lambda: history.messages) == {"GET": 1}
        assert await requests(history.aget_messages) == {"GET": 1}
        assert await requests(history.aclear) == {"GET": 1, "PUT": 1}
