"""The feed: the streams of one kind that changed since a cursor, over any backend.

A feed begins with a pass over all streams by name. From then on a look reads the streams by their last change, down to
a mark. The mark stays `LATE` behind the clock: a commit can be seen after others with a later time, as clocks differ,
and as a time is taken before its commit is done. The cursor has the states told above the mark, so that a reader of a
quiet place is told nothing twice. It has `REMEMBERED` of them at most: further streams wait until the mark may pass
them, and need no room then. So each change is told, and a cursor stays small, however busy the place is.
"""

from __future__ import annotations

import binascii
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stowfast.abc import Query
from stowfast.blocking import pause
from stowfast.errors import InvalidError, UnsupportedError, shown
from stowfast.names import MAX_MOMENT, MIN_MOMENT, clock, is_one_of
from stowfast.records import ChangedStream, Changes
from stowfast.scopes import outer_prefix
from stowfast.stores.codec import check_counts, check_given, from_duration, to_time
from stowfast.stores.messages.token import token_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from stowfast.abc import Backend, Listed

__all__ = ["KINDS", "LATE", "REMEMBERED", "Cursor", "Feed", "Seen"]

KINDS: Final = ("messages", "artifacts", "tasks", "documents")

LATE: Final = 120 * 1_000_000
"""Microseconds by which a commit may be seen after another one with a later time."""

REMEMBERED: Final = 8_192
"""The most states that a cursor names: 64 KiB of them."""

_SHORT: Final = 8
"""Bytes of a hash of a state, and of the sum of a cursor."""
_MOST_CHARACTERS: Final = 100_000
_FIRST_PAGE: Final = 100
_LARGEST_PAGE: Final = 10_000
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_BEGIN: Final = ""

Place = tuple[int, str]
"""A time and a name: the order of the feed."""


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """How far a reader came."""

    at: int
    name: bytes
    passing: str | None
    """The pass over all streams: the `Listing.after` of its last page; None: it has ended."""
    told: bytes
    """The hashes of states told above the mark, `_SHORT` bytes each."""

    @property
    def mark(self) -> Place:
        """The place up to which all was told."""
        return self.at, self.name.decode("utf-8", "surrogatepass")


class Seen(NamedTuple):
    """A listed stream: its place in the feed, its token, and a hash of its name and state."""

    place: Place
    token: str | None
    hash: bytes


class Feed:
    """The feed of one kind.

    Raises:
        InvalidError: there is no such kind.
    """

    def __init__(self, backend: Backend, kind: str) -> None:
        if not is_one_of(kind, KINDS):
            raise InvalidError(f"kind={shown(kind)}: it is one of {', '.join(KINDS)}")
        self._backend = backend
        self._kind = kind
        self._feed = f"{outer_prefix(backend)}{kind}/".encode()

    async def changes(self, after: str | None, limit: int, wait: timedelta | None) -> Changes:
        """Return the next page, and wait for its first item: see `Stores.changes`."""
        check_given(limit=limit)
        check_counts(limit=limit)
        if limit == 0:
            raise InvalidError("limit=0: a page has at least one item")
        deadline = time.monotonic() + (0 if wait is None else from_duration(wait, "wait") / 1e6)
        cursor = None if after is None else self._parse(after)
        longest = _FIRST_PAUSE
        while True:
            now = await self._now()
            if cursor is None:
                cursor = Cursor(now - LATE, b"", _BEGIN, b"")
            if cursor.passing is None:
                seen = await self.look(self.floor(cursor, now))
                found, cursor, more = self.page(seen, cursor, now, limit)
            else:
                found, cursor = await self.begin(cursor, limit)
                more = cursor.passing is not None
            left = deadline - time.monotonic()
            if found or more or left <= 0:
                return Changes([self._told(one) for one in found], self._text(cursor), more)
            await pause(min(longest, left))
            longest = min(1.5 * longest, _LONGEST_PAUSE)

    async def begin(self, cursor: Cursor, limit: int) -> tuple[Sequence[Seen], Cursor]:
        """Return a page of the pass over all streams. It is by name: no change can move a stream out of it."""
        query = Query(f"{self._kind}/", after=cursor.passing or None, limit=limit, heads=True)
        streams, after = await self._backend.streams(query)
        found = [_state(one) for one in streams]
        fresh = b"".join(one.hash for one in found if one.place > cursor.mark)
        told = (cursor.told + fresh)[: REMEMBERED * _SHORT]
        return found, Cursor(cursor.at, cursor.name, after, told)

    def floor(self, cursor: Cursor, now: int) -> Place:
        """Return the place above which a look reads: lower than the mark after the clock was set back."""
        return min(cursor.mark, (now - LATE, ""))

    async def look(self, floor: Place) -> list[Seen]:
        """Return the streams above a place, in the order of their last changes."""
        found: dict[str, Seen] = {}
        after, limit = None, _FIRST_PAGE
        while True:
            query = Query(f"{self._kind}/", order="recent", after=after, limit=limit, heads=True)
            streams, after = await self._backend.streams(query)
            found |= {one.name: _state(one) for one in streams}
            if after is None or (streams and streams[-1].updated_at < floor[0]):
                return sorted((one for one in found.values() if one.place > floor), key=lambda one: one.place)
            limit = min(10 * limit, _LARGEST_PAGE)

    def page(self, seen: Sequence[Seen], cursor: Cursor, now: int, limit: int) -> tuple[Sequence[Seen], Cursor, bool]:
        """Return the states of a look that were not told, the oldest first, and the cursor behind them."""
        floor, settled = self.floor(cursor, now), (now - LATE, "")
        told = {cursor.told[start : start + _SHORT] for start in range(0, len(cursor.told), _SHORT)}
        room = REMEMBERED - sum(one.hash in told and one.place > settled for one in seen)
        found: list[Seen] = []
        mark, more = settled, False
        for one in seen:
            if one.hash in told:
                continue
            is_late = one.place > settled
            if len(found) == limit or (is_late and room <= 0):
                # A quiet change in a bucket may move what was not told to a time a little earlier.
                mark, more = max(floor, min(settled, (one.place[0] - LATE, ""))), len(found) == limit
                break
            found.append(one)
            room -= is_late
        told |= {one.hash for one in found}
        kept = [one for one in seen if one.place > mark and one.hash in told]
        if len(kept) > REMEMBERED:
            mark = kept[-REMEMBERED - 1].place
        hashes = b"".join(one.hash for one in kept[-REMEMBERED:])
        return found, Cursor(mark[0], mark[1].encode("utf-8", "surrogatepass"), None, hashes), more

    async def _now(self) -> int:
        try:
            return await self._backend.now()
        except (InvalidError, UnsupportedError):  # these credentials may only read
            return clock()

    def _told(self, state: Seen) -> ChangedStream:
        at, name = state.place
        # The time of a damaged head is any number.
        moment = to_time(max(MIN_MOMENT, min(at, MAX_MOMENT)))
        return ChangedStream(self._kind, name.removeprefix(f"{self._kind}/"), state.token, moment)

    def _text(self, cursor: Cursor) -> str:
        body = msgspec.msgpack.encode(cursor)
        return urlsafe_b64encode(self._sum(body) + body).decode().rstrip("=")

    def _parse(self, text: object) -> Cursor:
        refusal = InvalidError("after: this is no cursor of this feed; pass the `cursor` of the page before")
        if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
            raise refusal
        try:
            whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            cursor = msgspec.msgpack.decode(whole[_SHORT:], type=Cursor)
            _ = cursor.mark
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise refusal from None
        if whole[:_SHORT] != self._sum(whole[_SHORT:]):
            raise refusal
        return cursor

    def _sum(self, body: bytes) -> bytes:
        # Of the scope and the kind, too: a cursor belongs to one feed. It is no secret, and guards nothing else.
        return blake2b(body, digest_size=_SHORT, key=blake2b(self._feed).digest()).digest()


def _state(listed: Listed) -> Seen:
    token = None if listed.head is None else token_of(listed.head)
    told = f"{listed.name} {listed.updated_at if token is None else token}".encode("utf-8", "surrogatepass")
    return Seen((listed.updated_at, listed.name), token, blake2b(told, digest_size=_SHORT).digest())
