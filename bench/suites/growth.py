"""Growth in a SQLite file: the cost of a call at each power of ten of what is stored, and of what is watched."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import stowfast
import stowfast.sync
from bench.harness.bars import Bar, Spread
from bench.harness.peers import new_folder
from bench.harness.table import as_time, machine, print_table
from bench.suites.conversations import conversation
from stowfast.abc import Change
from stowfast.blocking import run_in_place

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from bench.harness.rounds import Say
    from stowfast.sync import Stores

__all__ = ["run"]

MESSAGES: Final = conversation(1_000)
FILLED_TOGETHER: Final = 1_000
REPEATS: Final = 30
LAST: Final = 20
NEWEST_MS: Final = 10


class Subject(NamedTuple):
    """One kind of history."""

    says: str
    most: int
    fill: Callable[[Stores, int, int], object]
    """Store the things from a number up to another."""
    calls: dict[str, Callable[[Stores], object]]


def _fill_conversations(stores: Stores, start: int, stop: int) -> None:
    changes = [
        (f"messages/c{number}", Change(entries=(json.dumps(MESSAGES[number % len(MESSAGES)]).encode(),)))
        for number in range(start, stop)
    ]
    run_in_place(stores.async_stores.backend.commit_many(changes))


def _fill_steps(stores: Stores, start: int, stop: int) -> None:
    for number in range(start, stop):
        _save(stores, number)


def _save(stores: Stores, number: int) -> None:
    notes = {f"note-{one}": MESSAGES[(number + one) % 40] for one in range(5)}
    stores.tasks.save(stowfast.TaskState(task_id="t", data={"step": number, "notes": notes}))


def _fill_artifacts(stores: Stores, start: int, stop: int) -> None:
    for number in range(start, stop):
        artifact = stowfast.Artifact(artifact_id=f"a{number}", context_id="c", content=f"content {number}")
        stores.artifacts.put(artifact)


SUBJECTS: Final = (
    Subject(
        "messages of one conversation", 1_000_000,
        lambda stores, start, stop: stores.messages.add_messages("long", MESSAGES[: stop - start]),
        {
            "append": lambda stores: stores.messages.add_message("long", MESSAGES[0]),
            "last 20": lambda stores: stores.messages.get_messages("long", last=LAST),
            "list": lambda stores: stores.messages.contexts(limit=LAST, info=True),
        },
    ),
    Subject(
        "conversations", 1_000_000, _fill_conversations,
        {
            "append": lambda stores: stores.messages.add_message("c7", MESSAGES[0]),
            "last 20": lambda stores: stores.messages.get_messages("c7", last=LAST),
            "list": lambda stores: stores.messages.contexts(limit=LAST, info=True),
        },
    ),
    Subject(
        "steps of one task", 10_000, _fill_steps,
        {
            "append": lambda stores: _save(stores, 7),
            "last 20": lambda stores: stores.tasks.history("t", limit=LAST),
            "list": lambda stores: stores.tasks.list(limit=LAST),
        },
    ),
    Subject(
        "artifacts of one context", 10_000, _fill_artifacts,
        {
            "append": lambda stores: stores.artifacts.put(stowfast.Artifact(artifact_id="a7", content="again")),
            "last 20": lambda stores: stores.artifacts.get("a7"),
            "list": lambda stores: stores.artifacts.list(context_id="c", limit=LAST),
        },
    ),
)  # fmt: skip


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    """Fill a file by powers of ten, and measure at each."""
    figures: dict[str, Any] = {}
    with new_folder() as folder:
        for number, subject in enumerate(SUBJECTS):
            url = f"sqlite:///{folder}/{number}.db?sweep=false"
            most = subject.most // 100 if options.quick else subject.most
            for size, costs in _measure(subject, url, most):
                figures[f"{size:,} {subject.says}"] = costs
                say(f"{size:,} {subject.says}")
        for watchers in (1, 10, 100) if options.quick else (1, 10, 100, 1_000):
            figures[f"{watchers:,} watchers"] = asyncio.run(_watched(f"sqlite:///{folder}/watched.db", watchers))
            say(f"{watchers:,} watchers")
    print(f"\n{machine()}\n")
    names = ("append", "last 20", "list", "open", "sweep")
    rows = [
        [says, *(f"{as_time(costs[name]['cpu'])} ({as_time(costs[name]['time'])})" for name in names if name in costs)]
        for says, costs in figures.items()
    ]
    print_table("CPU of a call (and its median time)", ("", *names), rows)
    newest = figures.get("1,000,000 conversations")
    spread = newest and Spread.of([newest["list"]["cpu"] / 1e3])
    return [Bar.at_most("newest 20 of 1,000,000 conversations, CPU", NEWEST_MS, " ms", spread)], figures


def _measure(subject: Subject, url: str, most: int) -> Iterator[tuple[int, dict[str, Any]]]:
    stored, size = 0, 100 if most < 100_000 else 1_000
    with stowfast.sync.open(url) as stores:
        while size <= most:
            while stored < size:
                stop = min(size, stored + FILLED_TOGETHER)
                subject.fill(stores, stored, stop)
                stored = stop
            costs = {name: _cost(lambda call=call: call(stores)) for name, call in subject.calls.items()}
            costs["open"] = _cost(lambda: stowfast.sync.open(url).close())
            costs["sweep"] = _cost(stores.sweep, 3)
            yield size, costs
            size *= 10


def _cost(call: Callable[[], object], repeats: int = REPEATS) -> dict[str, float]:
    """Return the microseconds of a call: of the processor, on average, and of time, the median."""
    call()
    times, cpu = [], time.process_time()
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return {"cpu": (time.process_time() - cpu) / repeats * 1e6, "time": median(times) * 1e6}


async def _watched(url: str, watchers: int) -> dict[str, Any]:
    """Measure an append that one of so many watchers sees, from the call to its answer there."""
    async with stowfast.open(url) as stores:
        names = [f"c{number}" for number in range(watchers)]
        for name in names:
            await stores.messages.add_message(name, {})
        seen: asyncio.Queue[str] = asyncio.Queue()

        async def follow(name: str) -> None:
            async for _ in stores.messages.watch(name, after=-1):
                await seen.put(name)

        tasks = [asyncio.create_task(follow(name)) for name in names]
        for _ in names:
            await seen.get()
        times, cpu = [], time.process_time()
        for number in range(REPEATS):
            began = time.perf_counter()
            await stores.messages.add_message(names[number % watchers], {"n": number})
            await asyncio.wait_for(seen.get(), timedelta(seconds=30).total_seconds())
            times.append(time.perf_counter() - began)
        spent = (time.process_time() - cpu) / REPEATS
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
    return {"append": {"cpu": spent * 1e6, "time": median(times) * 1e6}}
