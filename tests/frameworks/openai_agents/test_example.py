"""The example is killed in the middle, goes on, and loses nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from stowfast.adapters.openai_agents import StowfastSession
from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "openai_agents.py").read_text(encoding="utf-8")
KILLS, MOST_BOOKINGS, CITIES = 3, 3, 12


async def results_in(url: str) -> list[str]:
    async with StowfastSession("trip", url) as session:
        items: list[Any] = await session.get_items()
    return [item["call_id"] for item in items if item.get("type") == "function_call_output"]


@KILLABLE
async def test_a_killed_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    url, stored, chance = f"sqlite:///{tmp_path}/trip.db", 0, Random(1)
    for _ in range(KILLS):
        with Child(EXAMPLE, url) as child:
            booked = len(child.kill(chance, MOST_BOOKINGS))
        found = await results_in(url)
        assert found == [f"call-{number}" for number in range(len(found))]
        assert booked - (len(found) - stored) in {0, 1}  # the last one may be booked, and its turn not stored
        stored = len(found)
    ((*bookings, last),) = race(EXAMPLE, [url])
    assert last == "done All booked."
    assert len(bookings) == CITIES - stored
    assert await results_in(url) == [f"call-{number}" for number in range(CITIES)]
