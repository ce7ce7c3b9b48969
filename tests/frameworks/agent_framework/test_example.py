"""The example is killed in the middle, goes on, and loses nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "agent_framework_workflow.py").read_text(
    encoding="utf-8"
)
KILLS, MOST_BOOKINGS, CITIES = 3, 3, 12


@KILLABLE
async def test_a_killed_workflow_goes_on_where_it_was(tmp_path: Path) -> None:
    url, chance, booked = f"sqlite:///{tmp_path}/trip.db", Random(1), list[str]()
    for _ in range(KILLS):
        with Child(EXAMPLE, url) as child:
            booked += child.kill(chance, MOST_BOOKINGS)
    ((*bookings, last),) = race(EXAMPLE, [url])
    booked += bookings
    assert last == "done All booked."
    cities = [line.split()[1] for line in booked]
    assert len(set(cities)) == CITIES
    assert cities == sorted(cities, key=list(dict.fromkeys(cities)).index)  # a city is booked twice at most in a row
    assert len(cities) - CITIES in range(KILLS + 1)  # a kill may come between a booking and its checkpoint
