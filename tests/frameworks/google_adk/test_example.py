"""The example is killed in the middle, goes on, and loses nothing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from stowfast.adapters.google_adk import StowfastSessionService
from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "google_adk.py").read_text(encoding="utf-8")
KILLS, CITIES = 3, 12


async def answers_in(url: str) -> list[str | None]:
    """Return the ids of the calls whose results are stored."""
    async with StowfastSessionService(url) as service:
        session = await service.get_session(app_name="trips", user_id="ada", session_id="trip")
    assert session is not None
    return [answer.id for event in session.events for answer in event.get_function_responses()]


def killed(url: str) -> int:
    """Start the agent, kill it after two bookings, and return the number of those that it told."""
    with Child(EXAMPLE, url) as child:
        child.read(2)
        assert child.kill_now() == -signal.SIGKILL
        return sum(line.startswith("booked") for line in child.lines)


def finished(url: str) -> str:
    """Start the agent, and return its last line."""
    ((*_, last),) = race(EXAMPLE, [url])
    return last


@KILLABLE
async def test_a_killed_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    url, stored = f"sqlite:///{tmp_path}/trip.db", 0
    for _ in range(KILLS):
        told = await asyncio.to_thread(killed, url)
        answers = await answers_in(url)
        assert answers == [f"call-{number}" for number in range(len(answers))]
        assert len(answers) - stored - told in {0, 1}  # one may have been stored and not told
        stored = len(answers)
    assert 2 * KILLS <= stored < CITIES
    line = await asyncio.to_thread(finished, url)
    assert line.startswith("done")
    assert await answers_in(url) == [f"call-{number}" for number in range(CITIES)]
