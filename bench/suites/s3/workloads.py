"""The contenders on object storage, the workloads, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from bench.harness import contender
from bench.harness.contender import Entry
from bench.suites.conversations import messages

__all__ = [
    "APPENDS_EACH", "BARRED", "CONTENDERS", "DUEL", "HISTORIES", "LISTED", "RAW", "SAME_AS", "WORKLOADS", "WRITERS",
    "Job", "state",
]  # fmt: skip

RAW: Final = ("obstore_new", "obstore_over")
SAME_AS: Final = "stowfast_async"
"""The bare driver repeats the PUTs of this one, of the same sizes. So it is counted before the driver."""

CONTENDERS: Final = {
    "stowfast_async": Entry("Stowfast, async", "stowfast:StowfastAsync"),
    "stowfast_sync": Entry("Stowfast, sync", "stowfast:StowfastSync"),
    "obstore_new": Entry("obstore, PUT a new key", "obstore:PutNew"),
    "obstore_over": Entry("obstore, PUT over a key", "obstore:PutOver"),
    "boto3_objects": Entry("boto3 by hand", "boto3_objects:Boto3Objects", "bench-peers"),
    "strands": Entry("Strands", "strands:Strands", "bench-peers"),
    "langgraph": Entry("LangGraph objectstorage", ".langgraph:ConversationsInBucket", "bench-peers"),
}
BARRED: Final = ("stowfast_async", "stowfast_sync", *RAW)
"""The contenders of the bars, at single PUTs and in crowds."""

HISTORIES: Final = {"ten": 10, "cold": 10, "warm": 100, "thousand": 1_000, "ten-thousand": 10_000}
"""The conversations that are there before anything is measured, and their numbers of messages."""

LISTED: Final = 1_000
WRITERS: Final = 2
APPENDS_EACH: Final = 10


class Workload(NamedTuple):
    """A section of the tables, and the calls of a turn: on the server as it is, with S3's latencies, and when requests
    are counted. The last are many enough to include the cost that is paid now and then."""

    title: str
    calls: int = 4
    delayed: int = 2
    counted: int = 2
    crowd: bool = False
    """Many writers at once: the figure is how many got through, not the time of one."""


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
"""The time of a PUT depends on the moment, so the contenders of the bars take more turns at it."""


@dataclass(frozen=True, kw_only=True)
class Job(contender.Job):
    turn: int
    """It is in new names, so that no earlier turn has used them."""
    calls: int
    budget: float
    """Seconds after which a timed loop ends: a slow contender costs samples, not patience."""
    sizes: list[int]
    """The bytes of each PUT of a bare client: those of the append it is compared with."""

    @property
    def bucket(self) -> str:
        return self.location.partition("/")[0]

    @property
    def prefix(self) -> str:
        return self.location.partition("/")[2]


def state(number: int) -> dict[str, Any]:
    """Make the state of a run: a step and its findings so far, about 4 KB."""
    return {"step": number, "found": messages(4, f"{number}-")}
