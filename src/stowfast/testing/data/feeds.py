"""Feeds read to their end, for the clauses of feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Query

if TYPE_CHECKING:
    from stowfast.records import ChangedStream
    from stowfast.stores import Scope, Stores

__all__ = ["MOST_PAGES", "any_of", "everything", "states", "told"]

MOST_PAGES: Final = 200
"""The pages after which a feed counts as endless."""


def any_of(kind: str) -> Any:
    """Return a kind of streams, also an unknown one, past the type checker."""
    return kind


def everything(within: Scope, kind: str) -> Query:
    """Return the query for all streams of a kind in a scope, by their names outside."""
    return Query(f"{within.backend.prefix}{kind}/")


async def told(
    stores: Stores, after: str | None, limit: int = 1_000, *, kind: str = "messages"
) -> tuple[list[ChangedStream], str]:
    """Read a feed to its end, and return the items with the last cursor."""
    found: list[ChangedStream] = []
    for _ in range(MOST_PAGES):
        page = await stores.changes(any_of(kind), after=after, limit=limit)
        found += page
        after = page.cursor
        if not page.more:
            return found, after
    raise AssertionError(f"a feed has no end after {MOST_PAGES} pages")


async def states(stores: Stores, ids: tuple[str, ...]) -> tuple[object, object]:
    """Return the states of conversations that a new feed tells, and those of their infos."""
    found, _ = await told(stores, None)
    infos = [(id, await stores.messages.info(id)) for id in ids]
    return [(one.id, one.token) for one in found], [(id, info and info.token) for id, info in infos]
