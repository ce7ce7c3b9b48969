"""The rounds: each contender stores everything once, which is counted; then all take turns at the timed workloads."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3

from bench.harness import postgres, proxy
from bench.harness.contender import started
from bench.harness.peers import new_folder
from bench.harness.rounds import new_results, take_turns
from bench.harness.server import server
from bench.harness.stopwatch import bytes_on_disk
from bench.suites.tasks.workloads import CONTENDERS, EDITS, EDITS_OF_PEERS, KINDS, OURS, Job
from tests.services.process import ServiceError

if TYPE_CHECKING:
    from bench.harness.contender import Contender, Figures
    from bench.harness.rounds import Results, Say
    from bench.harness.server import Server

__all__ = ["Found", "measure"]

LOADS: Final = 7
"""Loads of the newest version in a timed turn, each after some more saves."""
OLD: Final = 20
"""Old versions that are loaded."""


class Found(NamedTuple):
    """The figures: counted once, and timed in each round.

    The workloads are "grow", and for each kind of large state "edit KIND", "turn KIND" and, counted only, "old KIND".
    """

    server: str
    counted: dict[str, dict[str, Figures]]
    timed: Results
    complaints: list[str]


def measure(rounds: int, endpoint: str | None, say: Say) -> Found:
    """Run everything, on servers of our own if no endpoint is given."""
    with ExitStack() as stack:
        say("tasks: starting servers")
        there = stack.enter_context(server(endpoint))
        locations = Locations(there, stack.enter_context(new_folder()))
        locations.proxy = stack.enter_context(proxy.running(there.endpoint))
        complaints, entries = [], dict(CONTENDERS)
        try:
            locations.postgres = stack.enter_context(postgres.server())
        except ServiceError as error:
            complaints.append(f"{entries.pop('langgraph_postgres').label}: {str(error).splitlines()[0]}")
        names = " and ".join([there.name, *([locations.postgres.name] if locations.postgres else [])])
        contenders = stack.enter_context(started("tasks", entries))
        turns = Turns(locations, contenders, Found(names, {}, new_results(), complaints))
        turns.count(say)
        for number in range(rounds):
            say(f"tasks: round {number + 1} of {rounds}")
            turns.round(number)
        return turns.found


class Locations:
    """The location of each contender's tasks of a workload: a file, a prefix of a bucket or a database of its own."""

    def __init__(self, there: Server, folder: Path) -> None:
        self.there, self.folder = there, folder
        self.proxy = ""
        self.postgres: postgres.Postgres | None = None
        self.databases: set[str] = set()

    def of(self, name: str, workload: str) -> str:
        if name.endswith("_sqlite"):
            return str(self.folder / f"{name}.{workload}.db")
        if name.endswith("_s3"):
            return f"{self.there.bucket}/{self._prefix(name, workload)}"
        assert self.postgres is not None
        if workload not in self.databases:
            self.postgres.ask("postgres", f"CREATE DATABASE {workload}")
            self.databases.add(workload)
        return self.postgres.url(workload)

    def size(self, name: str, workload: str) -> int:
        """Count the stored bytes, once nobody has it open."""
        if name.endswith("_sqlite"):
            return bytes_on_disk(Path(self.of(name, workload)))
        if name.endswith("_s3"):
            bucket = boto3.resource("s3", endpoint_url=self.there.endpoint).Bucket(self.there.bucket)
            return sum(one.size for one in bucket.objects.filter(Prefix=f"{self._prefix(name, workload)}/"))
        assert self.postgres is not None
        return self.postgres.size(workload)

    def _prefix(self, name: str, workload: str) -> str:
        return f"{name}-{workload}".replace("_", "-")


class Turns:
    """Lets contenders do a workload, one after the other, and keeps their figures."""

    def __init__(self, locations: Locations, contenders: list[Contender], found: Found) -> None:
        self.locations, self.contenders, self.found = locations, contenders, found
        self.saved: dict[tuple[str, str], int] = {}

    def count(self, say: Say) -> None:
        """Let every contender store everything once, through the proxy, and count the stored bytes."""
        for workload in ["grow", *(f"{name} {kind}" for kind in KINDS for name in ("edit", "turn", "old"))]:
            say(f"tasks: counting, {workload}")
            name = workload.partition(" ")[0]
            self.found.counted[workload] = {
                one.name: self._ask(one, workload, 1, counted=True)
                for one in self.contenders
                if name != "old" or one.name in OURS
            }

    def round(self, number: int) -> None:
        """Let every contender do each timed workload once."""
        workloads = ("grow", *(f"turn {kind}" for kind in KINDS))
        take_turns(self.contenders, number, workloads, lambda one, name: self._ask(one, name, LOADS), self.found.timed)

    def _ask(self, one: Contender, workload: str, loads: int, *, counted: bool = False) -> Figures:
        name, _, kind = workload.partition(" ")
        where = kind or ("grown" if counted else f"grown_{uuid.uuid4().hex[:8]}")
        edits = EDITS if one.name in OURS else EDITS_OF_PEERS
        first = self.saved.get((one.name, kind), 0)
        more: dict[str, Any] = {
            "grow": {},
            "edit": {"first": first, "count": edits},
            "turn": {"first": first, "count": loads},
            "old": {"first": edits, "count": OLD},
        }[name]
        endpoint = self.locations.proxy if counted else self.locations.there.endpoint
        in_bucket = one.name.endswith("_s3")
        figures = one.ask(
            Job(
                workload=name, location=self.locations.of(one.name, where), kind=kind,
                endpoint=endpoint if in_bucket else "", counted=counted and in_bucket, **more,
            )
        )  # fmt: skip
        if kind:
            self.saved[one.name, kind] = figures.get("version", first + (edits if name == "edit" else 0))
        if "error" in figures:
            self.found.complaints.append(f"{CONTENDERS[one.name].label}, {workload}: {figures['error']}")
        elif name in {"grow", "edit"}:
            figures["stored"] = self.locations.size(one.name, where)
        return figures
