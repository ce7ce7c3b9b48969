"""Workloads on a SQLite file, in the contender's own process.

A contender is a class with `open(job)`, `close()`, `add(conversation, message)`, `add_all(conversation, messages)`,
`load(conversation)` and `last(conversation, count)`, all plain or all `async`. If it can read a conversation in pieces,
it has `stream(conversation)`, which returns the count. If it returns objects of its own, `as_given(messages)` makes
them comparable.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness.stopwatch import Effort, all_at_once, bytes_on_disk, summary, timed
from bench.suites.conversations import conversation
from bench.suites.sqlite.workloads import CONVERSATION, LAST, Job, Sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.harness.contender import Figures
    from bench.harness.stopwatch import Settle

__all__ = ["Job", "do"]


def do(contender: Callable[[], Any], job: Job, settle: Settle) -> Figures:
    store = contender()
    settle(store.open(job))
    try:
        figures = _WORKLOADS[job.workload](store, settle, Sizes(**job.sizes))
    finally:
        settle(store.close())
    if job.workload == "disk":
        figures["bytes"] = bytes_on_disk(Path(job.location))
    return figures


def _append(store: Any, settle: Settle, sizes: Sizes) -> Figures:
    calls = [(CONVERSATION, message) for message in conversation(sizes.warm_up + sizes.appends)]
    settle(timed(store.add, calls[: sizes.warm_up], sizes.append_budget))
    return _measured(store.add, calls[sizes.warm_up :], sizes.append_budget, settle)


def _appenders(store: Any, settle: Settle, sizes: Sizes) -> Figures:
    messages = conversation(500)
    names = [f"conversation-{number}" for number in range(sizes.appenders)]
    for name in names:
        settle(store.add(name, messages[0]))
    effort, began = Effort(), time.perf_counter()
    added = settle(all_at_once(store.add, names, messages, began + sizes.appenders_budget))
    return {"per_second": added / (time.perf_counter() - began), "n": added, **effort.a_call(added)}


def _prepare(store: Any, settle: Settle, sizes: Sizes) -> Figures:
    messages = conversation(sizes.history)
    settle(store.add_all(CONVERSATION, messages))
    # A contender that returns anything else, or another order, is not measured.
    as_given = getattr(store, "as_given", list)
    if as_given(settle(store.load(CONVERSATION))) != messages:
        raise AssertionError("the conversation came back changed")
    if as_given(settle(store.last(CONVERSATION, LAST))) != messages[-LAST:]:
        raise AssertionError("the last messages are not the last messages")
    return {"n": len(messages)}


def _load(store: Any, settle: Settle, sizes: Sizes) -> Figures:
    settle(store.load(CONVERSATION))
    return _measured(store.load, [(CONVERSATION,)] * sizes.loads, sizes.load_budget, settle)


def _last(store: Any, settle: Settle, sizes: Sizes) -> Figures:
    settle(store.last(CONVERSATION, LAST))
    return _measured(store.last, [(CONVERSATION, LAST)] * sizes.lasts, sizes.last_budget, settle)


def _measured(function: Callable[..., Any], calls: list[tuple[Any, ...]], budget: float, settle: Settle) -> Figures:
    effort = Effort()
    times = settle(timed(function, calls, budget))
    return summary(times) | effort.a_call(len(times))


def _disk(store: Any, settle: Settle, sizes: Sizes) -> Figures:
    for message in conversation(sizes.on_disk):
        settle(store.add(CONVERSATION, message))
    return {"n": sizes.on_disk}


def _memory(store: Any, settle: Settle, sizes: Sizes) -> Figures:
    stream = getattr(store, "stream", None)
    settle(store.last(CONVERSATION, LAST))
    gc.collect()
    tracemalloc.start()
    try:
        read = settle(stream(CONVERSATION) if stream else store.load(CONVERSATION))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    count = read if stream else len(read)
    if count != sizes.history:
        raise AssertionError(f"{count} messages came, not {sizes.history}")
    return {"peak": peak, "streamed": stream is not None}


_WORKLOADS: dict[str, Callable[[Any, Settle, Sizes], Figures]] = {
    "append": _append,
    "appenders": _appenders,
    "prepare": _prepare,
    "load": _load,
    "last": _last,
    "disk": _disk,
    "memory": _memory,
}
