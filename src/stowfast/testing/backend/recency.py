"""Clauses of lists by recency: changes in one tick of a clock, and changes that do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import Change
from stowfast.errors import InvalidError
from stowfast.names import MAX_MOMENT
from stowfast.testing.backend.names import paged
from stowfast.testing.clause import append, clauses, holds, raises, same, tick, told, unique

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.testing.clause import Make


async def streams_changed_at_once_are_in_their_order(make: Make[Backend]) -> None:
    """Changes one after the other are in their order in a list by recency, also within one tick of a coarse clock."""
    async with make() as backend, make() as other:
        token = unique()
        names = [f"{token}{number}" for number in (3, 0, 4, 1, 2)]
        times: dict[str, int] = {}
        for name in (*names, names[1], names[3]):
            at, writer = 0, backend if name < names[3] else other
            while at <= max(times.values(), default=0):  # until the clock that times the changes moves on
                at = (await append(writer, name, b"x")).committed_at
            times[name] = at
        wanted = sorted(names, key=lambda name: -times[name])
        for limit in (1, 2, 100):
            for heads in (False, True):
                found = [name async for name in paged(backend, token, order="recent", limit=limit, heads=heads)]
                same(found, wanted, f"streams by recency, in pages of {limit}, heads={heads}")


async def a_quiet_change_moves_no_stream(make: Make[Backend]) -> None:
    """A quiet change keeps `updated_at` and the place in a list by recency, however late it comes."""
    async with make() as backend:
        token = unique()
        names = [f"{token}{letter}" for letter in "abc"]
        for name in names:
            await append(backend, name, b"x")
            await tick(backend)
        changes = (
            Change(note=b"n", quiet=True),
            Change(labels={"k": "v"}, quiet=True),
            Change(expires_at=MAX_MOMENT, quiet=True),
            Change(base=1, drop_before=1, quiet=True),
        )
        for change in changes:
            for name in names:
                (before,) = await backend.heads([name])
                await backend.commit(name, change)
                (after,) = await backend.heads([name])
                same(after and after.updated_at, before and before.updated_at, f"the time after {told(change)}")
                holds(before and after and after.revision > before.revision, "the revision grows")
            await tick(backend)
            for heads in (False, True):
                found = [name async for name in paged(backend, token, order="recent", limit=2, heads=heads)]
                same(found, names[::-1], f"streams by recency after {told(change)}")
        await append(backend, names[0], b"y")
        found = [name async for name in paged(backend, token, order="recent", limit=2)]
        same(found, [names[0], names[2], names[1]], "streams by recency after an append")
        begun = await backend.commit(f"{token}d", Change(note=b"n", quiet=True))
        (head,) = await backend.heads([f"{token}d"])
        same(head and head.updated_at, begun.committed_at, "the time of a stream that a quiet change began")
        await raises(InvalidError, backend.commit(names[0], Change([b"x"], quiet=True)), "quiet entries")


CLAUSES = clauses(__name__)
