"""The example is killed in the middle, goes on, and loses no booking."""

from __future__ import annotations

import random
from pathlib import Path

from stowfast.adapters.strands import StowfastSessionRepository
from tests.frameworks.children import KILLABLE, Child

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "strands_agent.py").read_text(encoding="utf-8")
KILLS, CITIES = 3, 12


def booked(url: str) -> list[str]:
    """Return the cities whose bookings are stored."""
    repository = StowfastSessionRepository(url)
    found = [one.message["content"] for one in repository.list_messages("trip", "clerk")]
    repository.close()
    results = [part["toolResult"] for content in found for part in content if "toolResult" in part]
    return [str(one["content"][0]["text"]) for one in results if one["status"] == "success"]


@KILLABLE
def test_a_killed_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    url, chance, before = f"sqlite:///{tmp_path}/trip.db", random.Random(KILLS), 0
    for _ in range(KILLS):
        with Child(EXAMPLE, url) as child:
            told = child.kill(chance, 2)
        stored = booked(url)
        assert len(set(stored)) == len(stored)
        assert len(told) - (len(stored) - before) in {0, 1}  # the last may be told and not stored
        before = len(stored)
    with Child(EXAMPLE, url) as child:
        assert child.finish()[-1] == "done"
    assert len(booked(url)) == len(set(booked(url))) == CITIES
