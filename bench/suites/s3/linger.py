"""What `linger` saves: PUTs of callers of one process to one conversation, and what a caller waits for it."""

from __future__ import annotations

import asyncio
import time
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import stowfast
from bench.harness.table import as_time, machine, print_table
from bench.suites.s3.published import LATENCIES
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from bench.harness.bars import Bar
    from bench.harness.rounds import Say

LINGERS: Final = (0.0, 0.02, 0.05)
NOTES = f"""\
A stand-in of S3 in memory that answers no request before {LATENCIES["PUT"] * 1e3:.0f} ms. Each caller waits for its
answer before it goes on, and all pauses are drawn anew with the same seed.
"""


class Callers(NamedTuple):
    """Callers of one process that append to one conversation."""

    says: str
    count: int
    messages: int
    """Of each caller."""
    spread: float
    """Seconds within which the callers of a round come."""
    rest: float
    """Seconds between two rounds; 0: each caller comes when it likes, within `spread` after its last answer."""


WORKLOADS: Final = (
    Callers("4 tools of one step end within 10 ms", 4, 50, 0.01, 0.1),
    Callers("8 tools of one step end within 40 ms", 8, 50, 0.04, 0.1),
    Callers("16 agents, each a message within 200 ms after its last", 16, 50, 0.2, 0.0),
    Callers("one agent alone", 1, 50, 0.0, 0.0),
)


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    rows, figures = list[list[str]](), dict[str, Any]()
    for callers in WORKLOADS:
        for linger in LINGERS:
            puts, waited = asyncio.run(_measure(callers, linger))
            stored = callers.count * callers.messages
            figures[f"{callers.says}, {linger:g}"] = {"puts": puts, "messages": stored, "median": waited}
            rows.append([callers.says, f"{linger:g}", f"{1_000 * puts / stored:,.0f}", as_time(1e6 * waited)])
            say(f"{callers.says}, linger={linger:g}")
    print(f"\n{machine('faulty_s3')}\n")
    print_table("linger", ("callers", "linger", "PUTs for 1,000 messages", "median append"), rows)
    print(NOTES)
    return [], figures


async def _measure(callers: Callers, linger: float) -> tuple[int, float]:
    """Return the PUTs of the conversation, and the median time of an append."""
    random, times = Random(7), list[float]()
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&linger={linger}"
        async with stowfast.open(url) as stores:
            await stores.messages.add_message("c", {})
            server.latency = LATENCIES["PUT"]

            async def append() -> None:
                await asyncio.sleep(random.random() * callers.spread)
                began = time.perf_counter()
                await stores.messages.add_message("c", {"content": "x" * 500})
                times.append(time.perf_counter() - began)

            with server.counted() as made:
                await (_in_rounds if callers.rest else _at_will)(callers, append)
            assert await stores.messages.count("c") == callers.count * callers.messages + 1
    return sum(one.operation == "PUT" for one in made), median(times)


async def _in_rounds(callers: Callers, append: Callable[[], Any]) -> None:
    for _ in range(callers.messages):
        await asyncio.gather(*(append() for _ in range(callers.count)))
        await asyncio.sleep(callers.rest)


async def _at_will(callers: Callers, append: Callable[[], Any]) -> None:
    async def one() -> None:
        for _ in range(callers.messages):
            await append()

    await asyncio.gather(*(one() for _ in range(callers.count)))
