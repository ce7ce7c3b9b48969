"""The costs on the page: requests to a bucket, counted by a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.genai import types

from stowfast.adapters.google_adk import StowfastArtifactService, StowfastSessionService

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

A: dict[str, Any] = {"app_name": "app", "user_id": "ada"}
F: dict[str, Any] = A | {"session_id": "s", "filename": "f"}
SESSIONS, SMALL, LARGE = 20, 32_000, 300_000


def event(**delta: int) -> Event:
    actions = EventActions(state_delta={name.replace("_", ":", 1): value for name, value in delta.items()})
    return Event(author="user", actions=actions)


async def test_the_requests_of_each_call_of_the_sessions(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastSessionService(counted_bucket.url) as service:
        session = await service.create_session(**A, session_id="s")
        await service.append_event(session, event(app_k=0, user_k=0))
        assert await requests(lambda: service.append_event(session, event(k=1))) == {"GET": 2, "PUT": 1}
        shared = event(k=2, app_k=1, user_k=1)
        assert await requests(lambda: service.append_event(session, shared)) == {"GET": 4, "PUT": 3}
        assert await requests(lambda: service.get_session(**A, session_id="s")) == {"GET": 3}
        for _ in range(SESSIONS - 2):
            await service.create_session(**A)
        assert await requests(lambda: service.create_session(**A)) == {"GET": 3, "PUT": 1}
        assert await requests(lambda: service.list_sessions(**A)) == {"LIST": 1, "GET": SESSIONS + 3}
        first = await requests(lambda: service.list_sessions(app_name="app"))
        assert first["GET"] <= SESSIONS + 5
        assert await requests(lambda: service.list_sessions(app_name="app")) == {"LIST": 2, "GET": 4}
        await service.append_event(session, event(k=3))
        assert await requests(lambda: service.list_sessions(app_name="app")) == {"LIST": 2, "GET": 5}
        assert await requests(lambda: service.list_sessions(**A)) == {
            "LIST": 1,
            "GET": 4,
        }  # it uses the index of the app


async def test_the_requests_of_each_call_of_the_artifacts(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastArtifactService(counted_bucket.url) as service:
        await service.save_artifact(**F | {"filename": "other"}, artifact=types.Part(text="o"))  # the opening
        for text in "ab":  # equal content is stored once
            small, large = (
                partial(service.save_artifact, **F, artifact=types.Part(text=text * size)) for size in (SMALL, LARGE)
            )
            assert await requests(small) == {"GET": 1, "PUT": 1}
            assert await requests(lambda: service.load_artifact(**F)) == {"GET": 1}
            assert await requests(large) == {"GET": 2, "PUT": 2}
            assert await requests(lambda: service.load_artifact(**F)) == {"GET": 3}
