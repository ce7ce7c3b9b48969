"""The states that are saved: a real conversation that grows, and a megabyte of which a kilobyte changes each time."""

from __future__ import annotations

import json
import os
import random
import string
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.peers import ROOT
from bench.s3.workloads import messages
from bench.workloads import conversation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EARLY", "EDITS", "EDITS_OF_PEERS", "KINDS", "LATE", "STEPS", "Job", "Large", "growing", "plain"]

STEPS: Final = 300
"""Messages of the conversation that grows, each of them a save."""
EARLY: Final = range(6, 15)
LATE: Final = range(292, 301)
"""The saves whose median is the time at step 10, and at step 300."""

EDITS: Final = 1_000
EDITS_OF_PEERS: Final = 100
"""Who stores a megabyte with each save does so fewer times, and what it takes is multiplied."""

KINDS: Final = ("text", "noise")
DOCUMENTS: Final = 1_000

_NOISE = "".join(sorted(set(string.printable) - set(string.whitespace) - set('"\\')))


class Job(NamedTuple):
    """What a contender's process is asked to do, with one task of one place."""

    workload: str
    place: str
    """A URL, or what the contender's library takes for one."""
    endpoint: str = ""
    """Of the bucket."""
    task: str = "task"
    kind: str = ""
    first: int = 0
    """How often the state was saved before."""
    count: int = 0  # type: ignore[assignment] # tuple.count, which nobody calls
    counted: bool = False
    """Whether the endpoint is the proxy's, which knows what was requested."""


def growing() -> Iterator[dict[str, Any]]:
    """Give the state after each step. The messages of all states are the same objects, the list is another one.

    They are real ones where there are such (`STOWFAST_DATA` names the folder): a customer who goes on for long, under
    the instructions that stood at the beginning.
    """
    said = list(islice(_real(), STEPS)) or conversation(STEPS)
    for step in range(1, STEPS + 1):
        yield {"messages": said[:step]}


def _real() -> Iterator[dict[str, Any]]:
    folder = Path(os.environ.get("STOWFAST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "airline-conversations.jsonl"
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, message in enumerate(chain.from_iterable(json.loads(line)["messages"] for line in lines)):
        if number == 0 or message["role"] != "system":
            yield message


class Large:
    """A thousand documents of a kilobyte, of which each save changes another one, chosen at random."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: dict[str, Any] = {"documents": list(self._documents(0, DOCUMENTS))}
        self.saves = 0

    def next(self) -> dict[str, Any]:
        """Change the state as the next save finds it, and return it: the same object every time."""
        if self.saves:
            at = random.Random(self.saves).randrange(DOCUMENTS)
            (self.state["documents"][at],) = self._documents(self.saves, 1)
        self.saves += 1
        return self.state

    def after(self, saves: int) -> dict[str, Any]:
        """Return the state that the save of this number stored, from the same or an earlier one."""
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
    """Return the state as plain JSON, with nothing in it that need not be."""
    return json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode()
