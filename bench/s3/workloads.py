"""What is done on object storage, how often in a turn, and with which messages."""

from __future__ import annotations

import random
from typing import Any, Final, NamedTuple

from bench.workloads import WORDS

__all__ = ["APPENDS_EACH", "DUEL", "HISTORIES", "LISTED", "WORKLOADS", "WRITERS", "Job", "messages", "state"]

HISTORIES: Final = {"ten": 10, "cold": 10, "warm": 100, "thousand": 1_000, "ten-thousand": 10_000}
"""The conversations that are there before anything is measured, and how many messages they have."""

LISTED: Final = 1_000
WRITERS: Final = 2
APPENDS_EACH: Final = 10


class Workload(NamedTuple):
    """Rows of the tables. The calls are how many a turn has: on the server as it is, with S3's latencies, and when
    requests are counted, where there are enough of them to see what an operation costs that is paid now and then."""

    title: str
    calls: int = 4
    delayed: int = 2
    counted: int = 2
    crowd: bool = False
    """Everybody at once: what counts is how many got through, not how long one took."""


WORKLOADS: Final = {
    "append": Workload("append to 100, client open", 20, 4, 150),
    "append_cold": Workload("append to 10, client new"),
    "load_10": Workload("load 10 messages"),
    "load_1000": Workload("load 1,000 messages"),
    "load_10000": Workload("load 10,000 messages", 2, 1, 1),
    "last": Workload("load the last 20 of 1,000"),
    "count": Workload("count 1,000 messages"),
    "conversations": Workload("list 1,000 conversations"),
    "save": Workload("save a task of 4 KB", 20, 3, 50),
    "load_task": Workload("load a task of 4 KB"),
    "put_small": Workload("create an artifact of 1 KB"),
    "put_big": Workload("create an artifact of 1 MB"),
    "get_big": Workload("load an artifact of 1 MB"),
    "appenders": Workload("64 appenders, one conversation", crowd=True),
    "writers": Workload("two writers, 10 messages each", crowd=True),
}
DUEL: Final = "append"
"""A PUT is so short that a neighbour's moment decides it: whom the bar compares takes more turns at it."""


class Job(NamedTuple):
    """What a contender's process is asked to do. `turn` makes names that no earlier turn has used."""

    workload: str
    endpoint: str
    bucket: str
    prefix: str
    turn: int
    calls: int
    budget: float
    counted: bool = False
    sizes: list[int] = []  # noqa: RUF012 - a tuple comes back from JSON as a list, and nobody changes it
    """The bytes of each PUT that a bare client is to send: those of the append it is compared with."""


def messages(count: int, tag: str = "") -> list[dict[str, Any]]:
    """Make chat messages of about 1 KB of JSON each, no two alike. zlib makes two fifths of them, as of real ones:
    among the words there are ids, as tools return them."""
    dice = random.Random(tag)
    made = []
    for number in range(count):
        words = dice.choices(WORDS, k=120)
        words[::6] = [f"{dice.getrandbits(64):x}" for _ in words[::6]]
        role = "assistant" if number % 2 else "user"
        made.append({"role": role, "content": f"{tag}{number}: {' '.join(words)}"})
    return made


def state(number: int) -> dict[str, Any]:
    """Make what a run would save: a step and what it has found so far, about 4 KB."""
    return {"step": number, "found": messages(4, f"{number}-")}
