"""The peers in PostgreSQL, each in a process of its own and with a pool: 64 appenders at once, loads, the last 20."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from bench.harness.contender import Entry, started
from bench.harness.rounds import new_results, take_turns
from bench.suites.sqlite.workloads import Job, Sizes

if TYPE_CHECKING:
    from bench.harness.contender import Contender, Figures
    from bench.harness.postgres import Postgres
    from bench.harness.rounds import Results, Say

__all__ = ["CONTENDERS", "OURS", "PEERS", "POOL", "measure"]

POOL: Final = 20
"""Connections of a peer's pool."""

OURS: Final = "stowfast"
CONTENDERS: Final = {
    OURS: Entry("Stowfast, async", ".postgres.contenders.stowfast:Stowfast"),
    "openai_agents": Entry(
        "OpenAI Agents, SQLAlchemy", ".postgres.contenders.openai_agents:SQLAlchemySessions", "bench-peers"
    ),
    "langgraph_tasks": Entry("LangGraph, async", ".postgres.contenders.langgraph:InTasks", "bench-peers"),
    "langgraph_threads": Entry("LangGraph, threads", ".postgres.contenders.langgraph:InThreads", "bench-peers"),
}
PEERS: Final = tuple(name for name in CONTENDERS if name != OURS)


def measure(server: Postgres, rounds: int, sizes: Sizes, say: Say) -> Results:
    """Let the contenders take turns, each in a database of its own, new in every round."""
    results = new_results()
    with started("sqlite", CONTENDERS) as contenders:  # its workloads: what they take is a place
        for number in range(rounds):
            say(f"peers, round {number + 1} of {rounds}")

            def ask(contender: Contender, workload: str, number: int = number) -> Figures:
                # The appenders begin with short conversations: each of LangGraph's checkpoints holds a whole one.
                apart = workload == "appenders"
                database = f"{contender.name}_{number}{'_appenders' if apart else ''}"
                if apart or workload == "prepare":
                    server.ask("postgres", f"CREATE DATABASE {database}")
                return contender.ask(Job(workload=workload, location=server.url(database), sizes=asdict(sizes)))

            take_turns(contenders, number, ("prepare", "appenders", "load", "last"), ask, results)
    return results
