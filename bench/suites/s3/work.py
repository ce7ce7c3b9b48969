"""Workloads on a bucket, in the contender's own process.

A contender is a class whose methods are all plain or all `async`: `open(job)`, `close()`, and as many of these as its
library can do: `add`, `add_all`, `load`, `last`, `count`, `conversations`, `save`, `load_task`, `put_artifact`,
`get_artifact`. A workload is left out of the table if its method is missing. `begin(conversation)` does the library's
own preparation of a read, and is not timed; `as_task` and `as_artifact` make the arguments of a library that takes
objects, and are not timed. `most` is the longest conversation of a contender, `batch` the messages of one `add_all`.

A client that is opened before the clock runs is opened anew for each read, so that no read comes from memory.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.harness.proxy import Requests
from bench.harness.stopwatch import all_at_once, settling, summary, timed
from bench.suites.conversations import messages
from bench.suites.s3.workloads import APPENDS_EACH, HISTORIES, LISTED, WRITERS, Job, state

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.harness.contender import Figures
    from bench.harness.stopwatch import Settle

__all__ = ["Job", "do"]

WARM_UP = 3
APPENDERS = 64
CROWD_SECONDS = 0.8
BIG_BYTES = 2**20
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


def do(contender: Callable[[], Any], job: Job, settle: Settle) -> Figures:
    return Run(contender, job, settle).do()


class Run:
    """One job, with as many clients of its contender as the workload needs."""

    def __init__(self, contender: Callable[[], Any], job: Job, settle: Settle) -> None:
        self.contender, self.job, self.settle = contender, job, settle
        self.requests = Requests(job.endpoint if job.counted else "")

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
    def bare(self) -> bool:
        """Whether it can only write, so that nothing can be read back."""
        return not hasattr(self.contender, "load")

    def open(self, begin: str | None = None, *, listed: bool = False) -> Any:
        """Open a client. `listed`: where there are exactly the conversations of the list."""
        store = self.contender()
        self.settle(store.open(replace(self.job, location=f"{self.job.location}-many") if listed else self.job))
        if begin and hasattr(store, "begin"):
            self.settle(store.begin(begin))
        return store

    def close(self, store: Any) -> None:
        self.settle(store.close())

    def summary(self, times: list[int]) -> Figures:
        return summary(times) | self.asked(len(times))

    def asked(self, operations: int) -> Figures:
        """Report the requests of one operation, and the sizes of the PUTs to the key with most of them, the head."""
        if not self.requests:
            return {}
        seen = self.requests.seen
        puts = Counter(one.path for one in seen if one.kind == "PUT")
        head = max(puts, key=lambda path: puts[path]) if puts else ""
        figures: Figures = {
            "kinds": self.requests.kinds(operations),
            "sent": self.requests.sent() / max(operations, 1),
            "received": sum(one.received for one in seen) / max(operations, 1),
            "sizes": [one.sent for one in seen if one.path == head and one.kind == "PUT"][:500],
        }
        return {"asked": figures}

    def read(self, method: str, arguments: tuple[Any, ...]) -> Figures:
        if HISTORIES.get(arguments[0], 0) > getattr(self.contender, "most", float("inf")):
            return {"lacks": "patience"}
        times: list[int] = []
        until = time.perf_counter() + self.job.budget
        while not times or (len(times) < self.job.calls and time.perf_counter() < until):
            store = self.open(
                begin=arguments[0] if arguments[0] in HISTORIES else None,
                listed=method == "conversations",
            )
            self.requests.skip()
            times += self.settle(timed(getattr(store, method), [arguments], self.job.budget))
            self.requests.keep()
            self.close(store)
        return self.summary(times)

    def write(self, method: str) -> Figures:
        count, turn = self.job.calls + WARM_UP, self.job.turn
        calls: list[tuple[Any, ...]]
        if method == "add":
            calls = [("warm", message) for message in messages(count, f"{turn}-")]
        elif method == "save":
            as_task = getattr(self.contender(), "as_task", _as_given)
            calls = [as_task("task", state(number)) for number in range(count)]
        else:
            size = BIG_BYTES if self.job.workload == "put_big" else 1_000
            content = bytes(range(250)) * (size // 250)
            as_artifact = getattr(self.contender(), "as_artifact", _as_given)
            calls = [as_artifact(f"artifact-{size}-{turn}-{number}", content) for number in range(count)]
        store = self.open()
        function = getattr(store, method)
        self.settle(timed(function, calls[:WARM_UP], self.job.budget))
        self.requests.skip()
        times = self.settle(timed(function, calls[WARM_UP:], self.job.budget))
        self.close(store)  # the requests of its background work and of its end count too
        self.requests.keep()
        return self.summary(times)

    def append_cold(self) -> Figures:
        times: list[int] = []
        self.requests.skip()
        for message in messages(self.job.calls, f"{self.job.turn}-"):
            began = time.perf_counter_ns()
            store = self.open()
            self.settle(store.add("cold", message))
            times.append(time.perf_counter_ns() - began)
            self.close(store)
        self.requests.keep()
        return self.summary(times)

    def appenders(self) -> Figures:
        name = f"crowd-{self.job.turn}"
        store = self.open()
        self.settle(store.add(name, messages(1)[0]))
        self.requests.skip()
        began = time.perf_counter()
        names = [name] * APPENDERS
        added = self.settle(all_at_once(store.add, names, messages(200), began + CROWD_SECONDS))
        seconds = time.perf_counter() - began
        self.close(store)
        self.requests.keep()
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
        """Store the histories, and compare them: a contender that changes a conversation is not measured."""
        if self.bare:
            return {}
        store = self.open()
        for name, length in HISTORIES.items():
            if length <= getattr(store, "most", length):
                batch, made = getattr(store, "batch", length), messages(length)
                for start in range(0, length, batch):
                    self.settle(store.add_all(name, made[start : start + batch]))
        if hasattr(store, "save"):
            self.settle(store.save(*getattr(store, "as_task", _as_given)("task", state(0))))
        if hasattr(store, "put_artifact"):
            self.settle(store.put_artifact(*getattr(store, "as_artifact", _as_given)("artifact-big", bytes(BIG_BYTES))))
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
        store = self.open(listed=True)
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
            raise AssertionError("the list does not hold exactly the conversations that are stored")
        self.close(store)


def _as_given(*arguments: Any) -> tuple[Any, ...]:
    return arguments
