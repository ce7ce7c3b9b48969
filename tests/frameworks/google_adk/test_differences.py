"""Random histories on ADK's own services in memory and on ours: every answer is the same."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from google.adk.artifacts.in_memory_artifact_service import InMemoryArtifactService
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.genai import types

from stowfast.adapters.google_adk import StowfastArtifactService, StowfastSessionService

if TYPE_CHECKING:
    from google.adk.artifacts.base_artifact_service import BaseArtifactService
    from google.adk.sessions.base_session_service import BaseSessionService
    from google.adk.sessions.session import Session

SEEDS, STEPS = 12, 60


def shown(session: Session | None) -> Any:
    """Return all but the moment of a creation, which each service reads for itself."""
    if session is None:
        return None
    return session.user_id, session.id, session.state, [event.model_dump(mode="json") for event in session.events]


class Steps:
    """One history: the same calls, chosen by a seed, for either service."""

    def __init__(self, seed: int, sessions: BaseSessionService, artifacts: BaseArtifactService) -> None:
        self.random = random.Random(seed)
        self.sessions, self.artifacts = sessions, artifacts
        self.moment = 2e9

    def ids(self) -> dict[str, Any]:
        return {
            "app_name": "app",
            "user_id": self.random.choice(["ada", "bob"]),
            "session_id": self.random.choice("st"),
        }

    def delta(self) -> dict[str, Any]:
        keys = ["k", "l", "app:k", "user:k", "temp:k"]
        return {key: self.random.randrange(9) for key in keys if self.random.random() < 0.4}

    async def step(self) -> Any:
        name = self.random.choice(
            ["create", "append", "append", "append", "get", "list", "delete", "user", "save", "load"]
        )
        return name, await getattr(self, name)()

    async def create(self) -> Any:
        ids, state = self.ids(), self.delta()
        try:
            return shown(await self.sessions.create_session(**ids, state=state))
        except AlreadyExistsError:
            return "taken"

    async def append(self) -> Any:
        ids, delta, partial = self.ids(), self.delta(), self.random.random() < 0.1
        self.moment += self.random.randrange(-1, 5)
        event = Event(
            id=str(self.random.random()),
            author="user",
            partial=partial or None,
            timestamp=self.moment,
            actions=EventActions(state_delta=delta),
        )
        session = await self.sessions.get_session(**ids)
        if session is None:
            return None
        try:
            stored = await self.sessions.append_event(session, event)
        except SessionNotFoundError:
            return "gone"
        return stored.model_dump(mode="json"), shown(session), session.last_update_time

    async def get(self) -> Any:
        configs: list[dict[str, Any]] = [{"num_recent_events": 2}, {"after_timestamp": self.moment - 3}]
        config = self.random.choice([None, {}, {"num_recent_events": 0}, *configs])
        asked = None if config is None else GetSessionConfig(**config)
        return shown(await self.sessions.get_session(**self.ids(), config=asked))

    async def list(self) -> Any:
        user = self.random.choice([None, "ada", "bob"])
        found = (await self.sessions.list_sessions(app_name="app", user_id=user)).sessions
        return sorted(map(shown, found), key=str)

    async def delete(self) -> Any:
        if self.random.random() < 0.3:
            await self.sessions.delete_session(**self.ids())

    async def user(self) -> Any:
        return await self.sessions.get_user_state(app_name="app", user_id="ada")

    async def save(self) -> Any:
        part = self.random.choice(
            [types.Part(text="t"), types.Part(inline_data=types.Blob(data=b"x", mime_type="a/b"))]
        )
        filename = self.random.choice(["f", "user:f"])
        return await self.artifacts.save_artifact(**self.ids(), filename=filename, artifact=part)

    async def load(self) -> Any:
        ids, filename = self.ids(), self.random.choice(["f", "user:f"])
        version = self.random.choice([None, 0, 1, 5, -1])
        if self.random.random() < 0.1:
            await self.artifacts.delete_artifact(**ids, filename=filename)
        return [
            await self.artifacts.load_artifact(**ids, filename=filename, version=version),
            await self.artifacts.list_artifact_keys(**ids),
            await self.artifacts.list_versions(**ids, filename=filename),
        ]


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_every_answer_is_that_of_the_services_in_memory(url: str, seed: int) -> None:
    scope = uuid.uuid4().hex
    async with (
        StowfastSessionService(url, scope=scope) as sessions,
        StowfastArtifactService(url, scope=scope) as artifacts,
    ):
        theirs, ours = (
            Steps(seed, InMemorySessionService(), InMemoryArtifactService()),
            Steps(seed, sessions, artifacts),
        )
        for number in range(STEPS):
            assert await ours.step() == await theirs.step(), number
