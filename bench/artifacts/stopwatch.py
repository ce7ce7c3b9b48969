"""Does a workload with one service and times it, inside the service's process. Asks a proxy what was requested.

    python -m bench.artifacts.services.adk_s3 crowd s3://bucket/prefix?endpoint_url=... 10     (prints a line of JSON)

It runs where Stowfast is not installed, so it imports nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from bench.s3 import proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["MIME_TYPE", "SESSION", "serve"]

SESSION: Final = "session-1"
MIME_TYPE: Final = "application/pdf"
MIB: Final = 2**20
SMALL: Final = 4_096


class Stopwatch:
    """Times calls, and counts the requests of each where there is a proxy between."""

    def __init__(self, where: str) -> None:
        self.between = parse_qs(urlsplit(where).query).get("endpoint_url", [""])[0] if "://127" in where else ""
        self.figures: dict[str, Any] = {}

    async def __call__(self, what: str, call: Awaitable[Any]) -> Any:
        self._taken()
        began = time.perf_counter()
        found = await call
        self.figures[what] = time.perf_counter() - began
        self.figures[f"{what} requests"] = self._taken()
        return found

    def _taken(self) -> dict[str, int] | None:
        return Counter(one.kind for one in proxy.take(self.between)) if self.between else None


def serve(service: Any) -> None:
    """Do the workload that the command line names, and print its figures."""
    workload, where, size, *counted = sys.argv[1:]
    stopwatch = Stopwatch(where if counted else "")

    async def run() -> None:
        await stopwatch("open", service.open(where))
        try:
            await WORKLOADS[workload](service, int(size), stopwatch)
        finally:
            await service.close()

    asyncio.run(run())
    print(json.dumps(stopwatch.figures))


async def whole(service: Any, mib: int, stopwatch: Stopwatch) -> None:
    """One large artifact, as bytes, saved and loaded."""
    content = os.urandom(mib * MIB)
    before = _peak()
    await stopwatch("save", service.save("large.pdf", content))
    saved = _peak()
    if await stopwatch("load", service.load("large.pdf")) != content:
        sys.exit("the content came back changed")
    stopwatch.figures |= {"before": before, "saved": saved, "peak": _peak()}


async def crowd(service: Any, writers: int, stopwatch: Stopwatch) -> None:
    """So many tasks save another version of one artifact at once. Every version that was acknowledged is looked for."""
    contents = [number.to_bytes(8) + os.urandom(SMALL - 8) for number in range(writers)]
    saves = (service.save("shared.pdf", content) for content in contents)
    told = await stopwatch("crowd", asyncio.gather(*saves, return_exceptions=True))
    acknowledged = [content for content, answer in zip(contents, told, strict=True) if answer is None]
    found = await service.versions("shared.pdf")
    stopwatch.figures |= {
        "acknowledged": len(acknowledged),
        "kept": sum(content in found for content in acknowledged),
        "failed": sorted({f"{type(one).__name__}: {one}"[:100] for one in told if one is not None}),
    }


async def lists(service: Any, artifacts: int, stopwatch: Stopwatch) -> None:
    """So many small artifacts are listed: their names, and what each is."""
    for number in range(artifacts):
        await service.save(f"report-{number:03}.pdf", number.to_bytes(8) + bytes(SMALL - 8))
    names = await stopwatch("names", service.names())
    described = await stopwatch("described", service.described())
    if not len(names) == len(described) == artifacts:
        sys.exit(f"{len(names)} names and {len(described)} artifacts were listed")


WORKLOADS: Final[dict[str, Callable[[Any, int, Stopwatch], Awaitable[None]]]] = {
    "whole": whole, "crowd": crowd, "lists": lists,
}  # fmt: skip


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
