"""The page of the backend itself: counts, findings of reads, and the amounts that a sweep would remove.

Each part is waited for a bounded time, so the page comes also from a slow bucket with millions of streams.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.routing import Route

from stowfast.errors import StowfastError
from stowfast.findings import surveyed
from stowfast.moving import statistics
from stowfast.view.pages import Site, link

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["routes"]

_SURVEY_SECONDS: Final = 3.0
_SURVEY_STREAMS: Final = 100
_PATIENCE_SECONDS: Final = 5.0
_LONGEST: Final = 5
_WORDS: Final = {
    "messages": ("conversations", "messages"),
    "artifacts": ("artifacts", "versions"),
    "tasks": ("tasks", "versions"),
    "documents": ("documents", "versions"),
}
_PATHS: Final = {"messages": "/conversation", "artifacts": "/artifact", "tasks": "/task"}


def routes(site: Site) -> list[Route]:
    """Return the route of this page."""
    return [Route("/place", _Place(site).show)]


class Part(NamedTuple):
    """A part of the page: its value, or a sentence that says why there is none."""

    value: Any = None
    excuse: str = ""


class _Slow:
    """A piece of work that one reader or many wait for, each a bounded time. It runs once at a time."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._work = work
        self._running: asyncio.Task[Part] | None = None

    async def result(self) -> Part:
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        running = self._running
        done, _ = await asyncio.wait({running}, timeout=_PATIENCE_SECONDS)
        if not done:
            return Part(excuse=f"This takes over {_PATIENCE_SECONDS:g} s, and goes on: load this page again later.")
        if self._running is running:
            self._running = None
        return running.result()

    async def _run(self) -> Part:
        try:
            return Part(await self._work())
        except StowfastError as error:
            return Part(excuse=str(error))


class _Place:
    def __init__(self, site: Site) -> None:
        stores = site.stores
        self._site = site
        self._counts = _Slow(lambda: statistics(stores))
        self._findings = _Slow(lambda: surveyed(stores.backend, seconds=_SURVEY_SECONDS, streams=_SURVEY_STREAMS))
        self._swept = _Slow(lambda: stores.sweep(dry_run=True))

    async def show(self, _: Request) -> Response:
        counts, findings, swept = await asyncio.gather(
            self._counts.result(), self._findings.result(), self._swept.result()
        )
        last = counts.value and counts.value.last_change
        return self._site.page(
            "place.html", words=_WORDS, seconds=f"{_SURVEY_SECONDS:g}",
            counts=counts, findings=findings, swept=swept, last=last and datetime.fromtimestamp(last / 1_000_000, UTC),
            longest=[(name, count, _page_of(name)) for name, count in counts.value.longest[:_LONGEST]]
            if counts.value else [],
        )  # fmt: skip


def _page_of(stream: str) -> str:
    """Return the address of the page of a stream; "" for one without, as all of a scope."""
    kind, _, name = stream.partition("/")
    return link(_PATHS[kind], id=name) if kind in _PATHS else ""
