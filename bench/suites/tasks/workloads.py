"""The contenders, and the states: a conversation that grows, and a megabyte of which each save changes a kilobyte."""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bench.harness import contender
from bench.harness.contender import Entry
from bench.suites.conversations import messages, one_conversation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CONTENDERS", "EARLY", "EDITS", "EDITS_OF_PEERS", "KINDS", "LATE", "OURS", "STEPS",
    "Job", "Large", "growing", "plain",
]  # fmt: skip

OURS: Final = ("stowfast_sqlite", "stowfast_s3")
CONTENDERS: Final = {
    "stowfast_sqlite": Entry("Stowfast, SQLite", "stowfast:Stowfast"),
    "stowfast_s3": Entry("Stowfast, bucket", "stowfast:Stowfast"),
    "langgraph_sqlite": Entry("SqliteSaver", ".langgraph:StatesInSQLite", "bench-peers"),
    "langgraph_postgres": Entry("PostgresSaver", ".langgraph:StatesInPostgres", "bench-peers"),
    "langgraph_s3": Entry("ObjectStorageSaver", ".langgraph:StatesInBucket", "bench-peers"),
}

STEPS: Final = 300
"""Messages of the conversation that grows, each of them a save."""
EARLY: Final = range(6, 15)
LATE: Final = range(292, 301)
"""The time at step 10, or at step 300, is the median of these saves."""

EDITS: Final = 1_000
EDITS_OF_PEERS: Final = 100
"""A peer stores a megabyte with each save. So it makes fewer saves, and its figures are multiplied."""

KINDS: Final = ("text", "noise")
DOCUMENTS: Final = 1_000

_NOISE = "".join(sorted(set(string.printable) - set(string.whitespace) - set('"\\')))


@dataclass(frozen=True, kw_only=True)
class Job(contender.Job):
    task: str = "task"
    kind: str = ""
    first: int = 0
    """Saves of this state before the job."""
    count: int = 0


def growing() -> Iterator[dict[str, Any]]:
    """Give the state after each step. All states share the objects of the messages; each has its own list."""
    said = one_conversation(STEPS)
    for step in range(1, STEPS + 1):
        yield {"messages": said[:step]}


class Large:
    """A thousand documents of a kilobyte. Each save changes one of them, chosen at random."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: dict[str, Any] = {"documents": list(self._documents(0, DOCUMENTS))}
        self.saves = 0

    def next(self) -> dict[str, Any]:
        """Change the state for the next save, and return it: the same object every time."""
        if self.saves:
            at = random.Random(self.saves).randrange(DOCUMENTS)
            (self.state["documents"][at],) = self._documents(self.saves, 1)
        self.saves += 1
        return self.state

    def after(self, saves: int) -> dict[str, Any]:
        """Return the state of the save of this number. It is not before the last one returned."""
        while self.saves < saves:
            self.next()
        return self.state

    def _documents(self, number: int, count: int) -> Iterator[dict[str, Any]]:
        if self.kind == "text":
            yield from messages(count, f"document {number}, ")
            return
        dice = random.Random(number)
        for _ in range(count):
            yield {"role": "tool", "content": "".join(dice.choices(_NOISE, k=1_000))}


def plain(state: dict[str, Any]) -> bytes:
    """Return the state as the shortest plain JSON."""
    return json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode()
