"""The timing, in the contender's own process: a job as a line of JSON comes in, a line of figures goes out.

A contender is a class with `open(path)`, `close()`, `add(conversation, message)`, `add_all(conversation, messages)`,
`load(conversation)` and `last(conversation, count)`, all plain or all `async`. Where it can read a conversation
piece by piece it also has `stream(conversation)`, which returns the count; where it gives back objects of its own,
`as_given(messages)` makes them comparable. `serve(Contender)` does the rest.

The process stays between jobs, so an import is paid once and rounds of different contenders can alternate within
seconds: on a busy machine that matters more than anything else for a ratio.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import sqlite3
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.workloads import CONVERSATION, Sizes, conversation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["all_at_once", "bytes_on_disk", "serve", "summary", "timed"]

Figures = dict[str, Any]


def serve(contender: Callable[[], Any], run: Callable[[Any, dict[str, Any]], Figures] | None = None) -> None:
    """Answer jobs from standard input until it ends. `run` does a job with a new contender; here it is a file's."""
    run = run or _run
    # Libraries may print. Only figures may reach whoever reads our output, so everything else goes to stderr.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            figures = run(contender(), json.loads(line))
        except Exception as error:  # noqa: BLE001 - a contender that fails loses its line in the table, not the table
            figures = {"error": f"{type(error).__name__}: {error}"}
        gc.collect()  # before the answer: one contender's rubbish is not the next one's time
        print(json.dumps(figures), file=answers, flush=True)


def _run(store: Any, job: dict[str, Any]) -> Figures:
    workload, path, sizes = job["workload"], Path(job["path"]), Sizes(**job["sizes"])
    # The runner makes its event loop when it is first asked to run something: plain contenders never have one.
    with asyncio.Runner() as runner:

        def settle(result: Any) -> Any:
            return runner.run(result) if inspect.iscoroutine(result) else result

        settle(store.open(path))
        try:
            figures: Figures = _WORKLOADS[workload](store, settle, sizes)
        finally:
            settle(store.close())
    if workload == "disk":
        figures["bytes"] = bytes_on_disk(path)
    return figures


def _append(store: Any, settle: Callable[[Any], Any], sizes: Sizes) -> Figures:
    messages = conversation(sizes.warm_up + sizes.appends)
    calls = [(CONVERSATION, message) for message in messages]
    settle(timed(store.add, calls[: sizes.warm_up], sizes.append_budget))
    return summary(settle(timed(store.add, calls[sizes.warm_up :], sizes.append_budget)))


def _appenders(store: Any, settle: Callable[[Any], Any], sizes: Sizes) -> Figures:
    messages = conversation(500)
    names = [f"conversation-{number}" for number in range(sizes.appenders)]
    for name in names:
        settle(store.add(name, messages[0]))
    began = time.perf_counter()
    deadline = began + sizes.appenders_budget
    added = settle(all_at_once(store.add, names, messages, deadline))
    return {"per_second": added / (time.perf_counter() - began), "n": added}


def _prepare(store: Any, settle: Callable[[Any], Any], sizes: Sizes) -> Figures:
    messages = conversation(sizes.history)
    settle(store.add_all(CONVERSATION, messages))
    # Whoever gives back anything but what went in, or in another order, is not measured.
    as_given = getattr(store, "as_given", list)
    if as_given(settle(store.load(CONVERSATION))) != messages:
        raise AssertionError("the conversation came back changed")
    if as_given(settle(store.last(CONVERSATION, sizes.last))) != messages[-sizes.last :]:
        raise AssertionError("the last messages are not the last messages")
    return {"n": len(messages)}


def _load(store: Any, settle: Callable[[Any], Any], sizes: Sizes) -> Figures:
    settle(store.load(CONVERSATION))
    return summary(settle(timed(store.load, [(CONVERSATION,)] * sizes.loads, sizes.load_budget)))


def _last(store: Any, settle: Callable[[Any], Any], sizes: Sizes) -> Figures:
    settle(store.last(CONVERSATION, sizes.last))
    return summary(settle(timed(store.last, [(CONVERSATION, sizes.last)] * sizes.lasts, sizes.last_budget)))


def _disk(store: Any, settle: Callable[[Any], Any], sizes: Sizes) -> Figures:
    for message in conversation(sizes.on_disk):
        settle(store.add(CONVERSATION, message))
    return {"n": sizes.on_disk}


def _memory(store: Any, settle: Callable[[Any], Any], sizes: Sizes) -> Figures:
    stream = getattr(store, "stream", None)
    settle(store.last(CONVERSATION, sizes.last))
    gc.collect()
    tracemalloc.start()
    try:
        held = settle(stream(CONVERSATION) if stream else store.load(CONVERSATION))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    count = held if stream else len(held)
    if count != sizes.history:
        raise AssertionError(f"{count} messages came, not {sizes.history}")
    return {"peak": peak, "streamed": stream is not None}


_WORKLOADS: dict[str, Callable[[Any, Callable[[Any], Any], Sizes], Figures]] = {
    "append": _append,
    "appenders": _appenders,
    "prepare": _prepare,
    "load": _load,
    "last": _last,
    "disk": _disk,
    "memory": _memory,
}


def timed(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], budget: float) -> Any:
    """Time each call, in nanoseconds. The async twin is written out: a wrapper would charge one side for the other."""
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
    """Let one task or one thread a conversation append until the deadline; how many messages were added."""
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


def summary(times: list[int]) -> Figures:
    ranked = sorted(times)
    p10, median, p90 = (ranked[min(len(ranked) - 1, len(ranked) * share // 10)] / 1e3 for share in (1, 5, 9))
    return {"median": median, "p10": p10, "p90": p90, "mean": sum(times) / len(times) / 1e3, "n": len(times)}


def bytes_on_disk(path: Path) -> int:
    """Count every file of the database, after the log went into it: how full a log is says nothing about a format."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    database.close()
    return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))
