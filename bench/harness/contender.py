"""A contender in a process of its own, and both ends of the pipe to it. A job is a line of JSON, its figures another.

    python -m bench.harness.contender sqlite bench.suites.sqlite.contenders.stowfast:StowfastAsync

The process stays between jobs. So an import is paid once, and the rounds of contenders alternate within seconds.
Nothing here imports Stowfast: a peer's process runs in the peers' environment.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from bench.harness.peers import HOME, ROOT, peers_python
from bench.harness.stopwatch import settling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Contender", "Entry", "Figures", "Job", "once", "started"]

Figures = dict[str, Any]


class Entry(NamedTuple):
    """A contender of a suite: its name in the tables, its class, and the lock file of its environment if it is a peer.

    `location` is module and class, below the suite's `contenders`, or below `bench.suites` after a dot.
    """

    label: str
    location: str
    lock: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """The task of a contender's process. A suite adds fields."""

    workload: str
    location: str
    """A file, `bucket/prefix`, or the URL of a database."""
    endpoint: str = ""
    """The endpoint of the bucket. It is the proxy's if `counted`."""
    counted: bool = False

    @property
    def url(self) -> str:
        """The location as Stowfast takes it."""
        return f"s3://{self.location}?endpoint_url={self.endpoint}" if self.endpoint else f"sqlite:///{self.location}"


class Contender(NamedTuple):
    """A contender's process. It waits for jobs."""

    name: str
    process: subprocess.Popen[str]
    errors: IO[str]

    @classmethod
    def start(cls, suite: str, name: str, entry: Entry) -> Contender:
        python = str(peers_python(entry.lock)) if entry.lock else sys.executable
        package = "bench.suites" if entry.location.startswith(".") else f"bench.suites.{suite}.contenders."
        errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
        process = subprocess.Popen(
            [python, "-m", "bench.harness.contender", suite, package + entry.location],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        return cls(name, process, errors)

    def ask(self, job: Job) -> Figures:
        """Have a job done. A failure gives `{"error": ...}`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps(asdict(job)), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            figures: Figures = json.loads(answer)
            return figures
        self.errors.seek(0)
        lines = self.errors.read().split("\n")
        return {"error": next((line for line in reversed(lines) if line), "the process ended without an error text")}

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()
        self.errors.close()


@contextmanager
def started(suite: str, entries: Mapping[str, Entry]) -> Iterator[list[Contender]]:
    """Have a process for each contender of a suite."""
    HOME.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        contenders = []
        for name, entry in entries.items():
            contenders.append(Contender.start(suite, name, entry))
            stack.callback(contenders[-1].stop)
        yield contenders


def once(suite: str, entry: Entry, job: Job) -> Figures:
    """Have one job done by a new process, so that its memory is the memory of this job.

    Raises:
        RuntimeError: the job failed.
    """
    with started(suite, {entry.label: entry}) as (contender,):
        figures = contender.ask(job)
    if "error" in figures:
        raise RuntimeError(f"{entry.label}, {job.workload}: {figures['error']}")
    return figures


def serve(suite: str, location: str) -> None:
    """Answer jobs from standard input until it ends."""
    # Libraries may print. Only figures may reach the reader of the output, so everything else goes to stderr.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    module, _, name = location.partition(":")
    contender = getattr(import_module(module), name)
    work = import_module(f"bench.suites.{suite}.work")
    for line in sys.stdin:
        try:
            with settling() as settle:
                figures = work.do(contender, work.Job(**json.loads(line)), settle)
        except Exception as error:  # noqa: BLE001 - a contender that fails loses its row in the table, not the table
            figures = {"error": f"{type(error).__name__}: {error}"}
        gc.collect()  # before the answer: one contender's garbage is not the next one's time
        print(json.dumps(figures), file=answers, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
