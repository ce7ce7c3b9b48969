"""The contenders on a SQLite file, the workloads, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bench.harness import contender
from bench.harness.contender import Entry

__all__ = ["CONTENDERS", "CONVERSATION", "FULL", "LAST", "OURS", "PEERS", "QUICK", "RAW", "Job", "Sizes"]

RAW: Final = "raw"
OURS: Final = ("stowfast_async", "stowfast_sync")
CONTENDERS: Final = {
    RAW: Entry("sqlite3 by hand", "by_hand:ByHand"),
    "stowfast_async": Entry("Stowfast, async", "stowfast:StowfastAsync"),
    "stowfast_sync": Entry("Stowfast, sync", "stowfast:StowfastSync"),
    "openai_agents": Entry("OpenAI Agents, SQLite", "openai_agents:Sessions", "bench-peers"),
    "openai_agents_sqlalchemy": Entry("OpenAI Agents, SQLAlchemy", "openai_agents:SQLAlchemySessions", "bench-peers"),
    "langgraph": Entry("LangGraph", ".langgraph:ConversationsInSQLite", "bench-peers"),
}
PEERS: Final = tuple(name for name, entry in CONTENDERS.items() if entry.lock)

CONVERSATION: Final = "conversation-1"
"""The conversation of all workloads with one conversation."""

LAST: Final = 20


@dataclass(frozen=True)
class Sizes:
    """The work of a round. A budget in seconds ends a timed loop early, so that a slow contender costs a few samples
    and not the patience of the reader. Medians and rates do not depend on the count."""

    appends: int = 1_000
    append_budget: float = 0.4
    appenders: int = 64
    appenders_budget: float = 0.6
    history: int = 10_000
    loads: int = 5
    load_budget: float = 1.0
    lasts: int = 200
    last_budget: float = 0.6
    warm_up: int = 1_200
    """Past the first checkpoint. Until then SQLite's log grows, and a commit into a growing file costs the disk twice.
    A short run would measure that, and the first checkpoint."""
    on_disk: int = 1_000
    imports: int = 15
    processes: tuple[int, ...] = (10, 48)
    each: int = 100
    """Messages of each of these processes: a lock that one process keeps for itself saves none of the work."""


FULL: Final = Sizes()
QUICK: Final = Sizes(400, 0.2, appenders_budget=0.3, loads=3, lasts=60, last_budget=0.3, imports=7, each=40)


@dataclass(frozen=True, kw_only=True)
class Job(contender.Job):
    sizes: dict[str, Any]
