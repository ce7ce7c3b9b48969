"""The rounds: every contender in a process of its own, all of them taking turns, several times over.

On a shared machine two measurements a minute apart differ more than two libraries do. So nothing here is compared
across rounds: within one, each contender does the same workload directly after the other, who is first changes from
round to round, and a ratio is taken in each round before the median of the ratios is.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from bench.peers import HOME, ROOT, peers_python

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.workloads import Sizes

__all__ = ["CONTENDERS", "OURS", "PEERS", "RAW", "Contender", "Results", "measure"]

RAW: Final = "raw"
OURS: Final = ("stowfast_async", "stowfast_sync")
PEERS: Final = ("openai_agents", "openai_agents_sqlalchemy", "langgraph")
CONTENDERS: Final = {
    RAW: "sqlite3 by hand",
    "stowfast_async": "Stowfast, async",
    "stowfast_sync": "Stowfast, sync",
    "openai_agents": "OpenAI Agents, SQLite",
    "openai_agents_sqlalchemy": "OpenAI Agents, SQLAlchemy",
    "langgraph": "LangGraph",
}

ONCE: Final = ("disk", "memory")
"""A size is the same in every round, so these are done in the first one only."""

Figures = dict[str, Any]
Results = dict[str, dict[str, list[Figures]]]
"""workload -> contender -> the figures of each round. A contender that failed has {"error": ...}."""


class Contender(NamedTuple):
    """A contender's process, which waits for jobs."""

    name: str
    process: subprocess.Popen[str]
    complaints: IO[str]

    @classmethod
    def start(cls, name: str, python: str | Path, package: str = "bench.contenders") -> Contender:
        complaints = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
        process = subprocess.Popen(
            [str(python), "-m", f"{package}.{name}"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True,
        )  # fmt: skip
        return cls(name, process, complaints)

    def do(self, workload: str, path: Path, sizes: Sizes) -> Figures:
        return self.ask({"workload": workload, "path": str(path), "sizes": sizes._asdict()})

    def ask(self, job: dict[str, Any]) -> Figures:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps(job), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            figures: Figures = json.loads(answer)
            return figures
        self.complaints.seek(0)
        said = self.complaints.read().split("\n")
        return {"error": next((line for line in reversed(said) if line), "it ended without a word")}

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()
        self.complaints.close()


def measure(rounds: int, sizes: Sizes, say: Callable[[str], None]) -> Results:
    """Run every workload of every contender, `rounds` times, taking turns."""
    peers = peers_python()
    results: Results = defaultdict(lambda: defaultdict(list))
    HOME.mkdir(exist_ok=True)
    # Beside the repository and not in the system's temporary folder, which may be memory: there fsync costs nothing.
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        contenders = [Contender.start(name, peers if name in PEERS else sys.executable) for name in CONTENDERS]
        try:
            for number in range(rounds):
                say(f"round {number + 1} of {rounds}")
                turn = number % len(contenders)
                _round(number, contenders[turn:] + contenders[:turn], Path(folder), sizes, results)
        finally:
            for contender in contenders:
                contender.stop()
    return results


def _round(number: int, contenders: list[Contender], folder: Path, sizes: Sizes, results: Results) -> None:
    first = number == 0
    # An append is so short that a neighbour's moment decides it: three turns a round, a second each.
    for workload in (*("append",) * 3, "appenders", *(("disk",) if first else ())):
        for contender in contenders:
            path = folder / f"{contender.name}.{workload}.db"
            results[workload][contender.name].append(contender.do(workload, path, sizes))
            for file in folder.glob(path.name + "*"):
                file.unlink()
    for workload in (*(("prepare",) if first else ()), "load", "last", *(("memory",) if first else ())):
        for contender in contenders:
            figures = contender.do(workload, folder / f"{contender.name}.history.db", sizes)
            results[workload][contender.name].append(figures)
