"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strands import Agent

from stowfast.adapters.strands import StowfastSessionManager, StowfastStorage

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

SAID: Any = {"role": "user", "content": [{"text": "a"}]}
MESSAGES = 21


def agent_of(manager: StowfastSessionManager) -> Agent:
    return Agent(agent_id="agent", session_manager=manager, callback_handler=None)


async def test_the_requests_of_each_call_of_a_session(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    with StowfastSessionManager("session", counted_bucket.url) as manager:
        agent = agent_of(manager)
        manager.append_message(SAID, agent)
        for _ in range(MESSAGES - 1):
            assert await requests(lambda: manager.append_message(SAID, agent)) == {"GET": 1, "PUT": 1}
        manager.sync_agent(agent)
        assert await requests(lambda: manager.sync_agent(agent)) == {}
        agent.state.set("key", 1)
        assert await requests(lambda: manager.sync_agent(agent)) == {"GET": 1, "PUT": 1}

        def restore() -> None:
            with StowfastSessionManager("session", counted_bucket.url) as other:
                assert len(agent_of(other).messages) == MESSAGES

        assert await requests(restore) == {"GET": 3}


async def test_the_requests_of_each_call_of_the_storage(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    storage = StowfastStorage(counted_bucket.url)
    await storage.write("other", b"")  # the opening
    assert await requests(lambda: storage.write("k", b"a" * 10_000)) == {"GET": 1, "PUT": 1}
    assert await requests(lambda: storage.write("k", b"b" * 10_000)) == {"GET": 3, "PUT": 2}
    assert await requests(lambda: storage.read("k")) == {"GET": 1}
    await storage.close()
