"""The example is killed in the middle, and its client misses no step and gets none twice."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from mcp_types import JSONRPCNotification

from stowfast.adapters.mcp import StowfastEventStore
from tests.frameworks.children import KILLABLE, Child, race

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventMessage

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "mcp_progress.py").read_text(encoding="utf-8")
KILLS, MOST_STEPS, MORE = 3, 5, 4


@KILLABLE
async def test_a_client_of_a_killed_server_misses_nothing(tmp_path: Path) -> None:
    url, chance = f"sqlite:///{tmp_path}/events.db", Random(1)
    with Child(EXAMPLE, url, "100000") as child:
        first, *told = child.kill(chance, MOST_STEPS)
    begin = first.removeprefix("begin ")
    sent = len(told)
    for _ in range(KILLS):
        with Child(EXAMPLE, url, "100000", begin) as child:
            replayed, *told = child.kill(chance, MOST_STEPS)
        stored = int(replayed.removeprefix("replayed "))
        assert stored - sent in {0, 1}  # one may be stored without an answer
        assert told == [f"sent {step}" for step in range(stored, stored + len(told))]
        sent = stored + len(told)
    ((_, *told),) = race(EXAMPLE, [url, str(sent + MORE), begin])
    assert MORE - len(told) in {0, 1}
    steps = list[Any]()

    async def send(message: EventMessage) -> None:
        assert isinstance(message.message, JSONRPCNotification)
        steps.append((message.message.params or {})["progress"])

    async with StowfastEventStore(url) as store:
        await store.replay_events_after(begin, send)
    assert steps == list(range(sent + MORE))
