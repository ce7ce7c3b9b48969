"""The rounds in PostgreSQL, and their bars. Each ratio is one of medians within a round."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import psycopg

import stowfast
from bench.harness.bars import Bar, Spread, ratios, spread_of
from bench.harness.postgres import server
from bench.harness.rounds import errors
from bench.harness.table import as_spread, machine, print_bars, print_table
from bench.suites.postgres.peers import CONTENDERS, OURS, PEERS, measure
from bench.suites.postgres.work import TABLES, appends, async_appends, crowd, reads, server_work
from bench.suites.sqlite.workloads import FULL, QUICK

if TYPE_CHECKING:
    from argparse import Namespace

    from bench.harness.rounds import Results, Say
    from bench.suites.postgres.work import Figures

__all__ = ["run"]


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    """Measure in rounds, and judge."""
    scale = 1 if options.quick else 5
    rounds: list[dict[str, dict[str, Figures]]] = []
    with server() as here:
        url = here.url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLES)
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}, load {os.getloadavg()[0]:.1f}")
            with stowfast.sync.open(url) as stores:
                found = {"append": appends(url, stores, 100 * scale)}
                found["server"] = server_work(url, stores, 100 * scale)
                found["read"] = reads(url, stores, 10_000, 20 * scale)
            found |= asyncio.run(_concurrent(url, scale))
            rounds.append(found)
        peers = measure(here, options.rounds, QUICK if options.quick else FULL, say)
        name = here.name
    judged = bars(rounds) + peer_bars(peers)
    print(f"\n{machine(name)}, {len(rounds)} rounds, load {os.getloadavg()[0]:.1f}\n")
    rows = [
        [f"{workload}: {one}", figure, as_spread(Spread.of(found[workload][one][figure] * unit for found in rounds))]
        for workload, ones in rounds[0].items()
        for one, figures in ones.items()
        for figure in figures
        for unit in (1e6 if figure in {"median", "cpu"} else 1,)
    ]
    print_table("Microseconds, bytes, or appends a second", ("", "figure", "median (low to high)"), rows)
    rows = [
        [CONTENDERS[one].label, workload, as_spread(spread_of(peers, workload, figure, one))]
        for workload, figure in (("appenders", "per_second"), ("load", "median"), ("last", "median"))
        for one in CONTENDERS
    ]
    print_table("With the peers: appends a second of 64 at once, microseconds", ("", "", "median (low to high)"), rows)
    print_bars("Bars", judged)
    for failed, error in errors(peers):
        print(f"{failed}: {error}")
    return judged, {"machine": machine(name), "rounds": rounds, "peers": peers}


async def _concurrent(url: str, scale: int) -> dict[str, dict[str, Figures]]:
    async with stowfast.open(url) as stores:
        return {
            "async": await async_appends(url, stores, 100 * scale),
            "crowd": await crowd(stores, 10 * scale),
        }


def bars(rounds: list[dict[str, dict[str, Figures]]]) -> list[Bar]:
    """Judge the rounds."""

    def ratio(workload: str, figure: str, ours: str, theirs: str) -> Spread | None:
        return Spread.of(one[workload][ours][figure] / one[workload][theirs][figure] for one in rounds)

    return [
        Bar.at_most("append, sync / raw sync", 1.25, " x", ratio("append", "median", "ours", "raw")),
        Bar.at_most("append, async / raw async", 1.25, " x", ratio("async", "median", "ours async", "raw async")),
        Bar.at_most("append with op_id / raw sync", 1.5, " x", ratio("append", "median", "op_id", "raw")),
        Bar.at_most("server's CPU an append / raw", 1.6, " x", ratio("server", "cpu", "ours", "raw")),
        Bar.at_least("64 to one / 64 to 64", 0.7, " x", ratio("crowd", "per_second", "64 to 1", "64 to 64")),
        Bar.at_most("last 20 of 10,000 / bare query", 2, " x", ratio("read", "median", "last", "raw last")),
    ]


def peer_bars(results: Results) -> list[Bar]:
    """Judge the rounds with the peers. The best peer is the one with the most appends a second, over all rounds."""
    speeds = {peer: spread_of(results, "appenders", "per_second", peer) for peer in PEERS}
    best = max(PEERS, key=lambda peer: found.median if (found := speeds[peer]) else 0.0)
    session = ratios(results, "load", "median", OURS, "openai_agents")
    return [
        Bar.at_least(
            "64 appenders / the best peer", 8, " x", ratios(results, "appenders", "per_second", OURS, best),
            CONTENDERS[best].label,
        ),
        Bar.at_most("load of 10,000 / SQLAlchemySession", 0.5, " x", session),
    ]  # fmt: skip
