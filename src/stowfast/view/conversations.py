"""The pages of conversations: the list, one conversation from its newest messages on, one message, and the feed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Route

from stowfast.scopes import some_scopes
from stowfast.view.blocks import spoken
from stowfast.view.finding import find, wanted
from stowfast.view.folding import rows_of
from stowfast.view.pages import Site, number, text_of
from stowfast.view.titles import Titles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from stowfast.records import MessageEntry

__all__ = ["routes"]

_MESSAGES: Final = 50
_SILENCE_SECONDS: Final = 15.0
"""The time between two signs of life in a feed without news, so that a connection that broke is noticed."""


def routes(site: Site) -> list[Route]:
    """Return the routes of these pages."""
    pages = _Conversations(site)
    return [
        Route("/", pages.index),
        Route("/conversation", pages.show),
        Route("/older", pages.older),
        Route("/message", pages.message),
        Route("/live", pages.live),
    ]


class _Conversations:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._messages = site.stores.messages
        self._titles = Titles(self._messages)

    async def index(self, request: Request) -> Response:
        told = request.query_params
        sought = wanted(told.get("q", ""), told.get("prefix", ""), told.get("where", ""))
        page, looked_at = await find(self._messages, sought, told.get("after") or None, self._titles.known)
        is_empty = not page.items and not page.damaged and not told
        return self._site.page(
            "conversations.html", page=page, told=told, sought=sought, looked_at=looked_at,
            rows=list(zip(page, await self._titles.of(page.items), strict=True)),
            inner=await some_scopes(self._site.stores.backend) if is_empty else [],
        )  # fmt: skip

    async def show(self, request: Request) -> Response:
        name = text_of(request, "id")
        info = await self._messages.info(name)
        if info is None:
            raise HTTPException(404, "There is no such conversation: it was deleted, or it expired.")
        at = number(request, "at")
        originals = request.query_params.get("originals") == "1" or (at is not None and at < info.compacted)
        before = number(request, "before") if at is None else at + _MESSAGES // 2
        if before is not None and before >= info.next_position:
            before = None
        entries = await self._newest(name, before)
        base = 0 if originals else info.compacted
        summary = None
        if base and (not entries or entries[0].position <= base):
            entries = [entry for entry in entries if entry.position >= base]
            found = await self._messages.read(name, limit=1)
            summary = spoken(found.summary) if found.summary else None
        older = bool(entries) and entries[0].position > base
        return self._site.page(
            "conversation.html",
            info=info, rows=rows_of(entries, whole=not older), summary=summary, originals=originals, older=older,
            first=entries[0].position if entries else 0, last=entries[-1].position if entries else 0,
            after=info.next_position - 1, is_newest=before is None, step=_MESSAGES,
        )  # fmt: skip

    async def older(self, request: Request) -> Response:
        """Return the messages before a position, as a part of a page."""
        name, before = text_of(request, "id"), number(request, "before")
        entries = await self._newest(name, before)
        base = number(request, "base") or 0
        entries = [entry for entry in entries if entry.position >= base]
        more = bool(entries) and entries[0].position > base
        first = str(entries[0].position) if more else ""
        rows = self._site.part("rows.html", rows=rows_of(entries, whole=not more), info={"context_id": name})
        return HTMLResponse(rows, headers={"x-older": first})

    async def _newest(self, name: str, before: int | None) -> list[MessageEntry]:
        if before is not None and before <= 0:
            return []
        found = [one async for one in self._messages.entries(name, last=_MESSAGES, before=before, reverse=True)]
        return found[::-1]

    async def message(self, request: Request) -> Response:
        name, position = text_of(request, "id"), number(request, "position")
        if position is None:
            raise HTTPException(400, "the address lacks position=")
        async for entry in self._messages.entries(name, after=position - 1, before=position + 1):
            return self._site.page("message.html", name=name, entry=entry)
        raise HTTPException(404, "There is no message at this position: it was popped, or its conversation is gone.")

    async def live(self, request: Request) -> Response:
        name = text_of(request, "id")
        told = request.headers.get("last-event-id", "")
        after = int(told) if told.isascii() and told.isdigit() and len(told) <= 18 else number(request, "after")
        return StreamingResponse(self._feed(name, after), media_type="text/event-stream")

    async def _feed(self, name: str, after: int | None) -> AsyncIterator[str]:
        """Yield each new message as one event. Its data is one line of JSON: nothing stored can end the line."""
        yield "retry: 500\n\n"
        watch = self._messages.watch(name, after=after)
        waiting = asyncio.ensure_future(anext(watch, None))
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=_SILENCE_SECONDS)
                if not done:
                    yield ": nothing new\n\n"
                    continue
                entry = waiting.result()
                if entry is None:
                    return
                part = self._site.part("rows.html", rows=rows_of([entry]), info={"context_id": name})
                yield f"id: {entry.position}\ndata: {json.dumps(part)}\n\n"
                waiting = asyncio.ensure_future(anext(watch, None))
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await watch.aclose()
