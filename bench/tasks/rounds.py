"""The rounds: each contender fills its place once, which is counted; then all of them take turns at what is timed."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3

from bench.peers import HOME, peers_python
from bench.rounds import Contender
from bench.s3 import proxy
from bench.s3.server import server
from bench.stopwatch import bytes_on_disk
from bench.tasks import postgres
from bench.tasks.workloads import EDITS, EDITS_OF_PEERS, KINDS, Job
from tests.services.process import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rounds import Figures
    from bench.s3.server import Server

__all__ = ["CONTENDERS", "OURS", "Found", "measure"]

OURS: Final = ("stowfast_sqlite", "stowfast_s3")
CONTENDERS: Final = {
    "stowfast_sqlite": "Stowfast, SQLite",
    "stowfast_s3": "Stowfast, bucket",
    "langgraph_sqlite": "SqliteSaver",
    "langgraph_postgres": "PostgresSaver",
    "langgraph_s3": "ObjectStorageSaver",
}
LOADS: Final = 7
"""Of the newest version in a timed turn, each after some saves more."""
OLD: Final = 20


class Found(NamedTuple):
    """Figures by contender: what was counted once, then what was timed in each round. Those of large states by kind."""

    server: str
    grown: dict[str, Figures]
    edited: dict[str, dict[str, Figures]]
    loaded: dict[str, dict[str, Figures]]
    old: dict[str, dict[str, Figures]]
    grows: dict[str, list[Figures]]
    turns: dict[str, dict[str, list[Figures]]]
    complaints: list[str]


def measure(rounds: int, endpoint: str | None, say: Callable[[str], None]) -> Found:
    """Run everything, on servers of our own as far as no endpoint is given."""
    peers = peers_python()
    HOME.mkdir(exist_ok=True)
    with ExitStack() as stack:
        say("tasks: starting servers")
        there = stack.enter_context(server(endpoint))
        os.environ.update(there.environment)
        places = Places(there, Path(stack.enter_context(tempfile.TemporaryDirectory(dir=HOME))))
        places.proxy = stack.enter_context(proxy.running(there.endpoint))
        complaints = []
        try:
            places.postgres = stack.enter_context(postgres.server())
        except ServiceError as error:
            complaints.append(f"{CONTENDERS['langgraph_postgres']}: {str(error).splitlines()[0]}")
        contenders = []
        for name in CONTENDERS:
            if name != "langgraph_postgres" or places.postgres:
                python = sys.executable if name in OURS else peers
                contenders.append(Contender.start(name, python, "bench.tasks.contenders"))
                stack.callback(contenders[-1].stop)
        names = " and ".join([there.name, *([places.postgres.name] if places.postgres else [])])
        turns = Turns(places, contenders, Found(names, {}, {}, {}, {}, {}, {}, complaints))
        turns.count(say)
        for number in range(rounds):
            say(f"tasks: round {number + 1} of {rounds}")
            turns.round(number)
        return turns.found


class Places:
    """Where each contender keeps the tasks of a workload: a file, a part of a bucket or a database of its own."""

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
        """Count what is stored there, once nobody has it open."""
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
    """Lets contenders do a workload, one after the other, and keeps what they say."""

    def __init__(self, places: Places, contenders: list[Contender], found: Found) -> None:
        self.places, self.contenders, self.found = places, contenders, found
        self.saved: dict[tuple[str, str], int] = {}

    def count(self, say: Callable[[str], None]) -> None:
        """Let everybody store everything once, through the proxy, and see what is there then."""
        found = self.found
        say("tasks: counting, a conversation that grows")
        for one in self.contenders:
            found.grown[one.name] = self._ask(one, "grow", "grown", counted=True)
        for kind in KINDS:
            say(f"tasks: counting, a large state of {kind}")
            edited, loaded, old = (here.setdefault(kind, {}) for here in (found.edited, found.loaded, found.old))
            for one in self.contenders:
                count = EDITS if one.name in OURS else EDITS_OF_PEERS
                edited[one.name] = self._edit(one, "edit", kind, count, counted=True)
                loaded[one.name] = self._edit(one, "turn", kind, 1, counted=True)
                if one.name in OURS:
                    more = {"kind": kind, "first": count, "count": OLD}
                    old[one.name] = self._ask(one, "old", kind, counted=True, **more)

    def round(self, number: int) -> None:
        turn = number % len(self.contenders)
        for one in self.contenders[turn:] + self.contenders[:turn]:
            figures = self._ask(one, "grow", f"grown_{uuid.uuid4().hex[:8]}")
            self.found.grows.setdefault(one.name, []).append(figures)
        for kind in KINDS:
            for one in self.contenders[turn:] + self.contenders[:turn]:
                figures = self._edit(one, "turn", kind, LOADS)
                self.found.turns.setdefault(kind, {}).setdefault(one.name, []).append(figures)

    def _edit(self, one: Contender, workload: str, kind: str, count: int, **more: Any) -> Figures:
        first = self.saved.get((one.name, kind), 0)
        figures = self._ask(one, workload, kind, kind=kind, first=first, count=count, **more)
        self.saved[one.name, kind] = figures.get("version", first + count)
        return figures

    def _ask(self, one: Contender, workload: str, where: str, **more: Any) -> Figures:
        in_bucket = one.name.endswith("_s3")
        counted = more.pop("counted", False)
        job = Job(
            workload,
            self.places.of(one.name, where),
            self.places.proxy if counted else self.places.there.endpoint,
            counted=counted and in_bucket,
            **more,
        )
        figures = one.ask(job._asdict())
        if "error" in figures:
            self.found.complaints.append(f"{CONTENDERS[one.name]}, {workload}: {figures['error']}")
        elif workload in {"grow", "edit"}:
            figures["stored"] = self.places.size(one.name, where)
        return figures
