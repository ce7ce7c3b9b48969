"""Several processes on one session or artifact, and processes that are killed."""

from __future__ import annotations

import uuid
from typing import Any

from stowfast.adapters.google_adk import StowfastArtifactService, StowfastSessionService
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race

A: dict[str, Any] = {"app_name": "app", "user_id": "ada", "session_id": "s"}
EVENTS, KILLS, SIZE = 15, 6, 100_000

# Appends numbered events with their number in all three states, and tells each number after its answer.
APPENDS = """
import asyncio, os, sys
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from stowfast.adapters.google_adk import StowfastSessionService

url, scope, name, start, stop = *sys.argv[1:4], *map(int, sys.argv[4:])
ids = {"app_name": "app", "user_id": "ada", "session_id": "s"}

async def main():
    async with StowfastSessionService(url, scope=scope) as service:
        session = await service.get_session(**ids)
        os.write(1, b"opened\\n")
        for number in range(start, stop):
            delta = {f"{scope}{name}": number for scope in ("", "app:", "user:")}
            event = Event(id=f"{name}-{number}", author=name, actions=EventActions(state_delta=delta))
            while True:
                try:
                    await service.append_event(session, event)
                    break
                except StaleSessionError:
                    session = await service.get_session(**ids)
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


# Saves numbered artifacts under one name, and tells the version of each.
SAVES = """
import asyncio, os, sys
from google.genai import types
from stowfast.adapters.google_adk import StowfastArtifactService

url, scope, name, stop, size = *sys.argv[1:4], *map(int, sys.argv[4:])
ids = {"app_name": "app", "user_id": "ada", "session_id": "s", "filename": "f"}

async def main():
    async with StowfastArtifactService(url, scope=scope) as service:
        os.write(1, b"opened\\n")
        for number in range(stop):
            part = types.Part(text=f"{name}-{number}".ljust(size))
            version = await service.save_artifact(**ids, artifact=part)
            os.write(1, f"{version}\\n".encode())

asyncio.run(main())
"""


async def saved_under(service: StowfastArtifactService) -> list[str]:
    """Return the texts of all versions: each is whole."""
    found: list[str] = []
    for version in await service.list_versions(**A, filename="f"):
        part = await service.load_artifact(**A, filename="f", version=version)
        assert part is not None
        assert part.text is not None
        assert len(part.text) == SIZE
        found.append(part.text.rstrip())
    return found


async def test_two_processes_lose_and_double_nothing(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastSessionService(shared_url, scope=scope) as service:
        await service.create_session(**A)
        ended = race(APPENDS, *[[shared_url, scope, name, "0", str(EVENTS)] for name in ("one", "two")])
        assert ended == [["opened", *map(str, range(EVENTS))]] * 2
        session = await service.get_session(**A)
        assert session is not None
        ids = [event.id for event in session.events]
        for name in ("one", "two"):
            assert [one for one in ids if one.startswith(name)] == [f"{name}-{number}" for number in range(EVENTS)]
        assert len(ids) == 2 * EVENTS
        assert session.state == {
            f"{scope}{name}": EVENTS - 1 for scope in ("", "app:", "user:") for name in ("one", "two")
        }


@KILLABLE
async def test_an_acknowledged_event_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastSessionService(shared_url, scope=scope) as service:
        await service.create_session(**A)
        told = kill_writers(APPENDS, KILLS, lambda name: [shared_url, scope, name, "0", "10000"], 12)
        session = await service.get_session(**A)
    assert session is not None
    found = by_writer(event.id for event in session.events)
    check_writers(shared_url, told, found)
    for name, numbers in found.items():
        assert session.state[name] == numbers[-1]
        # Shared state is stored before its event, so it may be one ahead.
        assert session.state[f"user:{name}"] - session.state[name] in {0, 1}
        assert session.state[f"app:{name}"] - session.state[f"user:{name}"] in {0, 1}


async def test_two_processes_get_a_version_for_each_artifact(shared_url: str) -> None:
    scope, names = uuid.uuid4().hex, ("one", "two")
    ended = race(SAVES, *[[shared_url, scope, name, str(EVENTS), str(SIZE)] for name in names])
    async with StowfastArtifactService(shared_url, scope=scope) as service:
        found = await saved_under(service)
    assert len(found) == 2 * EVENTS
    for name, (_, *versions) in zip(names, ended, strict=True):
        assert [found[int(version)] for version in versions] == [f"{name}-{number}" for number in range(EVENTS)]


@KILLABLE
async def test_an_acknowledged_artifact_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(SAVES, KILLS, lambda name: [shared_url, scope, name, "10000", str(SIZE)], 8)
    async with StowfastArtifactService(shared_url, scope=scope) as service:
        check_writers(shared_url, told, by_writer(await saved_under(service)))
