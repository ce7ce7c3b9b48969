"""Does and times a workload on a bucket, in the contender's own process.

A contender is a class whose methods are all plain or all `async`: `open(job)`, `close()`, and as many of these as its
library can do: `add`, `add_all`, `load`, `last`, `count`, `conversations`, `save`, `load_task`, `put_artifact`,
`get_artifact`. A workload whose method it lacks is left out of the table. `begin(conversation)` is what its library
has to do before a conversation can be read, and is not timed; `most` is the longest conversation that it is tried
with.

What is opened before the clock runs is opened anew for each reading, so that nobody reads from memory.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from bench.s3.proxy import take
from bench.s3.workloads import APPENDS_EACH, HISTORIES, LISTED, WRITERS, Job, messages, state
from bench.stopwatch import all_at_once, summary, timed
from bench.stopwatch import serve as serve_jobs

__all__ = ["serve"]

Figures = dict[str, Any]
Settle = Callable[[Any], Any]

WARM_UP = 3
APPENDERS = 64
CROWD_SECONDS = 0.8
BIG = 2**20
READS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "load_10": ("load", ("ten",)),
    "load_1000": ("load", ("thousand",)),
    "load_10000": ("load", ("ten-thousand",)),
    "last": ("last", ("thousand", 20)),
    "count": ("count", ("thousand",)),
    "conversations": ("conversations", (LISTED,)),
    "load_task": ("load_task", ("task",)),
    "get_big": ("get_artifact", ("artifact-big",)),
}
WRITES = {"append": "add", "save": "save", "put_small": "put_artifact", "put_big": "put_artifact"}


def serve(contender: Callable[[], Any]) -> None:
    """Answer jobs from standard input until it ends."""

    def run(_first: Any, job: dict[str, Any]) -> Figures:
        with settling() as settle:
            return Run(contender, Job(**job), settle).do()

    serve_jobs(contender, run)


@contextmanager
def settling() -> Iterator[Settle]:
    """Give what turns a call's result into its value, on an event loop that plain contenders never have."""
    with asyncio.Runner() as runner:
        yield lambda result: runner.run(result) if inspect.iscoroutine(result) else result


class Run:
    """One job. It opens as many clients of its contender as the workload asks for."""

    def __init__(self, contender: Callable[[], Any], job: Job, settle: Settle) -> None:
        self.contender, self.job, self.settle = contender, job, settle
        self.seen: list[Any] = []

    def do(self) -> Figures:
        workload = self.job.workload
        method = READS[workload][0] if workload in READS else WRITES.get(workload, "add")
        if not hasattr(self.contender, method) or (method == "add" and workload != "append" and self.bare):
            return {"lacks": method}
        if workload in READS:
            return self.read(*READS[workload])
        if workload in WRITES:
            return self.write(method)
        figures: Figures = getattr(self, workload)()
        return figures

    @property
    def many(self) -> str:
        """Where there are exactly as many conversations as are listed."""
        return f"{self.job.prefix}-many"

    @property
    def bare(self) -> bool:
        """Whether it can only write, so that what it wrote cannot be looked at."""
        return not hasattr(self.contender, "load")

    def open(self, begin: str | None = None, prefix: str | None = None) -> Any:
        store = self.contender()
        self.settle(store.open(self.job._replace(prefix=prefix or self.job.prefix)))
        if begin and hasattr(store, "begin"):
            self.settle(store.begin(begin))
        return store

    def close(self, store: Any) -> None:
        self.settle(store.close())

    def look(self, *, keep: bool) -> None:
        """Take what the proxy saw since the last time, to be reported or because it was only a preparation."""
        if self.job.counted:
            seen = take(self.job.endpoint)
            self.seen += seen if keep else []

    def summary(self, times: list[int]) -> Figures:
        return summary(times) | self.asked(len(times))

    def asked(self, operations: int) -> Figures:
        """Report what one operation asked of the bucket. Of the PUTs, those to the key that had the most: the head."""
        if not self.job.counted:
            return {}
        kinds = Counter(one.kind for one in self.seen)
        puts = Counter(one.path for one in self.seen if one.kind == "PUT")
        head = max(puts, key=lambda path: puts[path]) if puts else ""
        figures: Figures = {kind: count / max(operations, 1) for kind, count in kinds.items()}
        figures["sent"] = sum(one.sent for one in self.seen) / max(operations, 1)
        figures["received"] = sum(one.received for one in self.seen) / max(operations, 1)
        figures["sizes"] = [one.sent for one in self.seen if one.path == head and one.kind == "PUT"][:500]
        return {"asked": figures}

    def read(self, method: str, arguments: tuple[Any, ...]) -> Figures:
        if HISTORIES.get(arguments[0], 0) > getattr(self.contender, "most", float("inf")):
            return {"lacks": "patience"}
        times: list[int] = []
        until = time.perf_counter() + self.job.budget
        while not times or (len(times) < self.job.calls and time.perf_counter() < until):
            store = self.open(
                begin=arguments[0] if arguments[0] in HISTORIES else None,
                prefix=self.many if method == "conversations" else None,
            )
            self.look(keep=False)
            times += self.settle(timed(getattr(store, method), [arguments], self.job.budget))
            self.look(keep=True)
            self.close(store)
        return self.summary(times)

    def write(self, method: str) -> Figures:
        count, turn = self.job.calls + WARM_UP, self.job.turn
        calls: list[tuple[Any, ...]]
        if method == "add":
            calls = [("warm", message) for message in messages(count, f"{turn}-")]
        elif method == "save":
            calls = [("task", state(number)) for number in range(count)]
        else:
            size = BIG if self.job.workload == "put_big" else 1_000
            content = bytes(range(250)) * (size // 250)
            calls = [(f"artifact-{size}-{turn}-{number}", content) for number in range(count)]
        store = self.open()
        function = getattr(store, method)
        self.settle(timed(function, calls[:WARM_UP], self.job.budget))
        self.look(keep=False)
        times = self.settle(timed(function, calls[WARM_UP:], self.job.budget))
        self.close(store)  # what it does in the background and at the end is asked of the bucket too
        self.look(keep=True)
        return self.summary(times)

    def append_cold(self) -> Figures:
        times: list[int] = []
        self.look(keep=False)
        for message in messages(self.job.calls, f"{self.job.turn}-"):
            began = time.perf_counter_ns()
            store = self.open()
            self.settle(store.add("cold", message))
            times.append(time.perf_counter_ns() - began)
            self.close(store)
        self.look(keep=True)
        return self.summary(times)

    def appenders(self) -> Figures:
        name = f"crowd-{self.job.turn}"
        store = self.open()
        self.settle(store.add(name, messages(1)[0]))
        self.look(keep=False)
        began = time.perf_counter()
        names = [name] * APPENDERS
        added = self.settle(all_at_once(store.add, names, messages(200), began + CROWD_SECONDS))
        seconds = time.perf_counter() - began
        self.close(store)
        self.look(keep=True)
        reader = self.open(name)
        stored = len(self.settle(reader.load(name))) - 1
        self.close(reader)
        return {"per_second": added / seconds, "n": added, "stored": stored} | self.asked(added)

    def writers(self) -> Figures:
        name = f"shared-{self.job.turn}"
        store = self.open()
        self.settle(store.add(name, messages(1)[0]))
        self.close(store)
        acknowledged: list[dict[str, Any]] = []
        ready = threading.Barrier(WRITERS, timeout=60)

        def write(number: int) -> None:
            with settling() as settle:
                store = self.contender()
                settle(store.open(self.job))
                ready.wait()
                for message in messages(APPENDS_EACH, f"writer {number}, "):
                    settle(store.add(name, message))
                    acknowledged.append(message)
                settle(store.close())

        threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reader = self.open(name)
        stored = getattr(reader, "as_given", list)(self.settle(reader.load(name)))
        self.close(reader)
        kept = {message["content"] for message in stored}
        return {"n": len(acknowledged), "stored": sum(message["content"] in kept for message in acknowledged)}

    def prepare(self) -> Figures:
        """Put there what is read later, and look at what comes back: who changes a conversation is not measured."""
        if self.bare:
            return {}
        store = self.open()
        for name, length in HISTORIES.items():
            if length <= getattr(store, "most", length):
                self.settle(store.add_all(name, messages(length)))
        if hasattr(store, "save"):
            self.settle(store.save("task", state(0)))
        if hasattr(store, "put_artifact"):
            self.settle(store.put_artifact("artifact-big", bytes(BIG)))
        self.close(store)
        reader = self.open("thousand")
        as_given = getattr(reader, "as_given", list)
        if as_given(self.settle(reader.load("thousand"))) != messages(HISTORIES["thousand"]):
            raise AssertionError("the conversation came back changed")
        if as_given(self.settle(reader.last("thousand", 20))) != messages(HISTORIES["thousand"])[-20:]:
            raise AssertionError("the last messages are not the last messages")
        self.close(reader)
        if hasattr(store, "conversations"):
            self.prepare_many()
        return {}

    def prepare_many(self) -> None:
        store = self.open(prefix=self.many)
        names = [f"conversation-{number:04}" for number in range(LISTED)]
        (message,) = messages(1)
        if inspect.iscoroutinefunction(store.add):

            async def add_all() -> None:
                for start in range(0, LISTED, 20):
                    await asyncio.gather(*(store.add(name, message) for name in names[start : start + 20]))

            self.settle(add_all())
        else:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda name: store.add(name, message), names))
        if sorted(self.settle(store.conversations(LISTED))) != names:
            raise AssertionError("the conversations that are listed are not those that are there")
        self.close(store)
