"""The example is killed in the middle, goes on, and loses nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

from stowfast.adapters.llama_index import StowfastChatStore
from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "llama_index_chat.py").read_text(encoding="utf-8")
KILLS, MOST_BOOKINGS, CITIES = 3, 3, 12


async def results_in(url: str) -> int:
    async with StowfastChatStore(url) as store:
        messages = await store.get_messages("trip", None)
    assert [message.role.value for message in messages[1:]] == ["assistant", "tool"] * (len(messages) // 2)
    return len(messages) // 2


@KILLABLE
async def test_a_killed_chat_goes_on_where_it_was(tmp_path: Path) -> None:
    url, stored, chance = f"sqlite:///{tmp_path}/trip.db", 0, Random(1)
    for _ in range(KILLS):
        with Child(EXAMPLE, url) as child:
            booked = len(child.kill(chance, MOST_BOOKINGS))
        found = await results_in(url)
        assert booked - (found - stored) in {0, 1}  # the last one may be booked, and its pair not stored
        stored = found
    ((*bookings, last),) = race(EXAMPLE, [url])
    assert last == "done All booked."
    assert len(bookings) == CITIES - stored
    assert await results_in(url) == CITIES
