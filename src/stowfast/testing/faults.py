"""Faults that clauses and users' tests put on purpose: lost answers, another time, damaged heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import ALL, Listing, Slice
from stowfast.errors import DamagedError, UnavailableError
from stowfast.stores.codec import from_time
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from stowfast.abc import Backend, Change, Head, Query, Receipt, Window

__all__ = ["At", "DamagesHeads", "LosesAnswers"]


class LosesAnswers(Wrapper):
    """Commits, then raises UnavailableError, as if the connection broke before the answer.

    Args:
        backend: makes the commit.
        count: the number of answers to lose, from the next one on. The attribute `lose` may be set again at any time.
    """

    def __init__(self, backend: Backend, count: int = 1) -> None:
        super().__init__(backend)
        self.lose = count

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Commit, and lose the answer while there are answers to lose."""
        receipt = await self.backend.commit(stream, change)
        if self.lose > 0:
            self.lose -= 1
            raise UnavailableError("the answer was lost after the commit")
        return receipt


class At(Wrapper):
    """A backend with a given clock time."""

    def __init__(self, backend: Backend, moment: datetime) -> None:
        super().__init__(backend)
        self.moment = moment

    async def now(self) -> int:
        """Return that moment."""
        return from_time(self.moment, "the moment")


class DamagesHeads(Wrapper):
    """A backend with damaged heads: of some streams only the note, of others all that a backend checks.

    Args:
        notes: the damaged note of each of these streams.
        heads: streams whose heads cannot be read: a listing marks them, and every call raises DamagedError.
    """

    def __init__(self, backend: Backend, notes: Mapping[str, bytes], heads: Collection[str] = ()) -> None:
        super().__init__(backend)
        self._notes = notes
        self._broken = heads

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Commit, but not to an unreadable stream."""
        self._check(stream)
        return await self.backend.commit(stream, change)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Return heads with damaged notes."""
        for stream in streams:
            self._check(stream)
        return [self._damaged(head) for head in await self.backend.heads(streams)]

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Read under a head with a damaged note."""
        self._check(stream)
        head, entries = await self.backend.read(stream, window)
        return Slice(self._damaged(head), entries)

    async def streams(self, query: Query) -> Listing:
        """List damaged streams among the others."""
        found, after = await self.backend.streams(query)
        listed = [
            one._replace(head=None, damaged=True)
            if one.name in self._broken
            else one._replace(head=self._damaged(one.head))
            for one in found
        ]
        return Listing(listed, after)

    def _check(self, stream: str) -> None:
        if stream in self._broken:
            raise DamagedError(f"{stream!r} is damaged")

    def _damaged(self, head: Head | None) -> Head | None:
        return head and head._replace(note=self._notes.get(head.name, head.note))
