"""Clocks and measures of one call, many calls, a crowd, memory and files. They run in the contender's own process."""

from __future__ import annotations

import asyncio
import inspect
import resource
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Effort", "Settle", "all_at_once", "bytes_on_disk", "peak_memory", "settling", "summary", "timed"]

Settle = Callable[[Any], Any]


@contextmanager
def settling() -> Iterator[Settle]:
    """Give a function that turns the result of a call, plain or `async`, into its value.

    The event loop is made at the first coroutine: a plain contender never has one.
    """
    with asyncio.Runner() as runner:
        yield lambda result: runner.run(result) if inspect.iscoroutine(result) else result


def timed(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], budget: float) -> Any:
    """Time each call, in nanoseconds, and end after `budget` seconds.

    The async twin is written out: a wrapper would charge one side for the other.
    """
    if inspect.iscoroutinefunction(function):
        return _timed_async(function, calls, budget)
    clock, times = time.perf_counter_ns, []
    end = clock() + budget * 1e9
    for arguments in calls:
        began = clock()
        function(*arguments)
        ended = clock()
        times.append(ended - began)
        if ended > end:
            break
    return times


async def _timed_async(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], budget: float) -> list[int]:
    clock, times = time.perf_counter_ns, []
    end = clock() + budget * 1e9
    for arguments in calls:
        began = clock()
        await function(*arguments)
        ended = clock()
        times.append(ended - began)
        if ended > end:
            break
    return times


def all_at_once(add: Callable[..., Any], names: list[str], messages: list[Any], deadline: float) -> Any:
    """Let one task or one thread for each name append until the deadline. Return the number of added messages."""
    if inspect.iscoroutinefunction(add):
        return _tasks(add, names, messages, deadline)
    counts = [0] * len(names)

    def append(number: int) -> None:
        while time.perf_counter() < deadline:
            add(names[number], messages[counts[number] % len(messages)])
            counts[number] += 1

    threads = [threading.Thread(target=append, args=(number,)) for number in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


async def _tasks(add: Callable[..., Any], names: list[str], messages: list[Any], deadline: float) -> int:
    async def append(name: str) -> int:
        count = 0
        while time.perf_counter() < deadline:
            await add(name, messages[count % len(messages)])
            count += 1
        return count

    return sum(await asyncio.gather(*map(append, names)))


class Effort:
    """Counts what this process spends from now on: figures that a noisy disk does not blur."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        self._waits = _waits()

    def a_call(self, calls: int) -> dict[str, float]:
        """Return, for each of so many calls, microseconds of CPU and the waits of threads: for a disk or each other."""
        cpu, waits = time.process_time() - self._cpu, _waits() - self._waits
        return {"cpu": cpu * 1e6 / calls, "waits": waits / calls}


def _waits() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def summary(times: list[int]) -> dict[str, Any]:
    """Return median, tenth and ninetieth percentile and mean, in microseconds, and the number of calls."""
    ranked = sorted(times)
    p10, median, p90 = (ranked[min(len(ranked) - 1, len(ranked) * share // 10)] / 1e3 for share in (1, 5, 9))
    return {"median": median, "p10": p10, "p90": p90, "mean": sum(times) / len(times) / 1e3, "n": len(times)}


def peak_memory() -> int:
    """Return the largest resident size that this process has had, in bytes, Python and libraries included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def bytes_on_disk(path: Path) -> int:
    """Count every file of a SQLite database, after its log was moved into it: a log's size depends on the moment."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    database.close()
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))
