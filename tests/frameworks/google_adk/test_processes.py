"""Several processes on one session, and processes that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from typing import Any

import pytest

from stowfast.adapters.google_adk import StowfastSessionService

A: dict[str, Any] = {"app_name": "app", "user_id": "ada", "session_id": "s"}
EVENTS, KILLS = 15, 6

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


def begin(url: str, scope: str, name: str, start: int, stop: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-c", APPENDS, url, scope, name, str(start), str(stop)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def told(child: subprocess.Popen[bytes]) -> list[int]:
    assert child.stdout is not None
    lines = child.stdout.readlines()
    child.stdout.close()
    return [int(line) for line in lines if line.strip().isdigit()]


async def test_two_processes_lose_and_double_nothing(durable_url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastSessionService(durable_url, scope=scope) as service:
        await service.create_session(**A)
        children = [begin(durable_url, scope, name, 0, EVENTS) for name in ("one", "two")]
        for child in children:
            assert told(child) == list(range(EVENTS))
            assert child.wait() == 0
        session = await service.get_session(**A)
        assert session is not None
        ids = [event.id for event in session.events]
        for name in ("one", "two"):
            assert [one for one in ids if one.startswith(name)] == [f"{name}-{number}" for number in range(EVENTS)]
        assert len(ids) == 2 * EVENTS
        assert session.state == {
            f"{scope}{name}": EVENTS - 1 for scope in ("", "app:", "user:") for name in ("one", "two")
        }


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
async def test_an_acknowledged_event_outlives_a_kill(durable_url: str) -> None:
    scope, randomness, counts = uuid.uuid4().hex, random.Random(KILLS), Counter[str]()
    async with StowfastSessionService(durable_url, scope=scope) as service:
        await service.create_session(**A)
        following = 0
        for _ in range(KILLS):
            child = begin(durable_url, scope, "one", following, 10_000)
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(randomness.randrange(1, 12))]
            moment = time.perf_counter_ns() + randomness.randrange(0, 2_000_000)
            while time.perf_counter_ns() < moment:
                pass
            os.kill(child.pid, signal.SIGKILL)
            acknowledged = [int(line) for line in lines if line.strip().isdigit()] + told(child)
            assert child.wait() == -signal.SIGKILL
            session = await service.get_session(**A)
            assert session is not None
            ids = [event.id for event in session.events]
            assert ids == [f"one-{number}" for number in range(len(ids))]  # in order, none twice
            assert len(ids) - following - len(acknowledged) in {0, 1}  # one may have been stored without an answer
            if ids:
                assert session.state["one"] == len(ids) - 1
                # Shared state is stored before its event, so it may be one ahead.
                assert session.state["user:one"] - session.state["one"] in {0, 1}
                assert session.state["app:one"] - session.state["user:one"] in {0, 1}
            counts += Counter(kills=1, acknowledged=len(acknowledged), found=len(ids) - following)
            following = len(ids)
    print(f"{durable_url.partition(':')[0]}: {dict(counts)}")
    assert counts["acknowledged"] > 0
