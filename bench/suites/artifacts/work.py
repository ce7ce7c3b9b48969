"""Artifacts, in the contender's own process: one streamed in pieces, or whole ones saved, loaded and listed.

A contender of whole artifacts has `open(job)`, `close()`, `save(name, content)`, `load(name)`, `versions(name)`,
`names()` and `described()`, all `async`. The process may be one without Stowfast, so nothing of it is imported here.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Final

from bench.harness.proxy import Requests
from bench.harness.stopwatch import peak_memory
from bench.suites.artifacts.workloads import MIB, SMALL_BYTES, Job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.harness.contender import Figures
    from bench.harness.stopwatch import Settle

__all__ = ["Job", "do"]


def do(contender: Any, job: Job, settle: Settle) -> Figures:
    if job.workload == "stream":
        clock = Clock()
        size = contender(job, clock)
        if size != job.size * MIB:
            raise AssertionError(f"{size:,} bytes came back")
        return {**clock.figures, "peak": peak_memory()}
    figures: Figures = settle(_whole_artifacts(contender(), job))
    return figures


class Clock:
    """Times the writing and the reading of one contender, and the processor's time of each."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._worked = time.process_time()

    def __call__(self, name: str, began: float) -> None:
        self.figures[name] = time.perf_counter() - began
        worked = time.process_time()
        self.figures[f"cpu_{name}"] = worked - self._worked
        self._worked = worked


class Stopwatch:
    """Times calls, and counts the requests of each if there is a proxy."""

    def __init__(self, job: Job) -> None:
        self.proxy = job.endpoint if job.counted else ""
        self.figures: dict[str, Any] = {}

    async def __call__(self, name: str, call: Awaitable[Any]) -> Any:
        requests = Requests(self.proxy)
        began = time.perf_counter()
        found = await call
        self.figures[name] = time.perf_counter() - began
        requests.keep()
        self.figures[f"{name} requests"] = requests.kinds() if requests else None
        return found


async def _whole_artifacts(service: Any, job: Job) -> Figures:
    stopwatch = Stopwatch(job)
    await stopwatch("open", service.open(job))
    try:
        await WORKLOADS[job.workload](service, job.size, stopwatch)
    finally:
        await service.close()
    return stopwatch.figures


async def whole(service: Any, mib: int, stopwatch: Stopwatch) -> None:
    """One large artifact, as bytes, saved and loaded."""
    content = os.urandom(mib * MIB)
    before = peak_memory()
    await stopwatch("save", service.save("large.pdf", content))
    saved = peak_memory()
    if await stopwatch("load", service.load("large.pdf")) != content:
        raise AssertionError("the content came back changed")
    stopwatch.figures |= {"before": before, "saved": saved, "peak": peak_memory()}


async def crowd(service: Any, writers: int, stopwatch: Stopwatch) -> None:
    """Many tasks save another version of one artifact at once. Every acknowledged version is looked for."""
    contents = [number.to_bytes(8) + os.urandom(SMALL_BYTES - 8) for number in range(writers)]
    saves = (service.save("shared.pdf", content) for content in contents)
    answers = await stopwatch("crowd", asyncio.gather(*saves, return_exceptions=True))
    acknowledged = [content for content, answer in zip(contents, answers, strict=True) if answer is None]
    found = await service.versions("shared.pdf")
    stopwatch.figures |= {
        "acknowledged": len(acknowledged),
        "kept": sum(content in found for content in acknowledged),
        "failed": sorted({f"{type(one).__name__}: {one}"[:100] for one in answers if one is not None}),
    }


async def lists(service: Any, artifacts: int, stopwatch: Stopwatch) -> None:
    """Many small artifacts are listed: their names, and their types."""
    for number in range(artifacts):
        await service.save(f"report-{number:03}.pdf", number.to_bytes(8) + bytes(SMALL_BYTES - 8))
    names = await stopwatch("names", service.names())
    described = await stopwatch("described", service.described())
    if not len(names) == len(described) == artifacts:
        raise AssertionError(f"{len(names)} names and {len(described)} artifacts were listed")


WORKLOADS: Final[dict[str, Callable[[Any, int, Stopwatch], Awaitable[None]]]] = {
    "whole": whole, "crowd": crowd, "lists": lists,
}  # fmt: skip
