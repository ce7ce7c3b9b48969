"""A pytest plugin that puts Stowfast in the place of ADK's own session and artifact services."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.adk.artifacts import file_artifact_service, in_memory_artifact_service
from google.adk.sessions import database_session_service, in_memory_session_service, sqlite_session_service
from swapping import fresh_url

from stowfast.adapters.google_adk import StowfastArtifactService, StowfastSessionService


class SwappedSessions(StowfastSessionService):
    """Takes the arguments of any service of ADK, and an unused place."""

    def __init__(self, *_: Any, **__: Any) -> None:
        # Services of one URL share its opening, so `memory:` needs a scope to be unused.
        super().__init__(fresh_url(), scope=uuid.uuid4().hex)


class SwappedArtifacts(StowfastArtifactService):
    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(fresh_url(), scope=uuid.uuid4().hex)


def pytest_configure() -> None:
    """Swap the classes before the suites import them."""
    place = pytest.MonkeyPatch()
    place.setattr(in_memory_session_service, "InMemorySessionService", SwappedSessions)
    place.setattr(database_session_service, "DatabaseSessionService", SwappedSessions)
    place.setattr(sqlite_session_service, "SqliteSessionService", SwappedSessions)
    place.setattr(in_memory_artifact_service, "InMemoryArtifactService", SwappedArtifacts)
    place.setattr(file_artifact_service, "FileArtifactService", SwappedArtifacts)
