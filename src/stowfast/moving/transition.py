"""The wrapper for programs that write while a place is moved."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, Change, Listed, Listing, Query, Slice, Swept, Window
from stowfast.cursors import after_cursor, parse_cursor
from stowfast.errors import ConflictError, InvalidError, UnavailableError
from stowfast.moving.marks import is_marked, unmark, was_moved
from stowfast.registry import connect
from stowfast.semantics import is_news
from stowfast.stores.optimistic import delete_if_still
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence
    from datetime import timedelta

    from stowfast.abc import Backend, Head, Receipt

__all__ = ["MovingBackend"]

_MAX_ATTEMPTS: Final = 100
_LOOK_SECONDS: Final = 0.5
_PAGE: Final = 1_000


class MovingBackend(Wrapper):
    """Two places as one, while streams move from the old to the new one: `moving:?from=URL&to=URL`.

    A stream that lives at the old place is read and written there, and every commit names its incarnation: so a commit
    that comes after its move is turned away, and made at the new place. Every other stream lives at the new place, and
    begins there. An acknowledged write is never lost, doubled or reordered, if every writer uses this wrapper until the
    move has ended.

    A call costs one more head. A list reads all names of both places. An upload that a move overtakes is a
    ConflictError: write it again. A blob that is read while its artifact moves may be a NotFoundError: read it again.
    """

    def __init__(self, old: Backend, new: Backend) -> None:
        super().__init__(new)
        self.old = old

    @classmethod
    async def open(cls, url: str, **options: str) -> MovingBackend:
        """Open `moving:?from=URL&to=URL`, each URL percent-encoded.

        Raises:
            InvalidError: one of them is missing.
        """
        if url != "moving:" or not {"from", "to"} <= options.keys():
            raise InvalidError("write moving:?from=URL&to=URL, each URL percent-encoded")
        old = await connect(options["from"])
        try:
            return cls(old, await connect(options["to"]))
        except BaseException:
            await old.close()
            raise

    @classmethod
    def option_names(cls, scheme: str) -> Sequence[str]:
        """Return the two options."""
        return ["from", "to"]

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Commit where the stream lives."""
        known = False
        for _ in range(_MAX_ATTEMPTS):
            place, head = await self._where(stream)
            pinned = change
            if change.incarnation is None:
                pinned = change._replace(expect=0) if head is None and change.expect is None else change
                pinned = pinned if head is None else pinned._replace(incarnation=head.incarnation)
            if head is None and change.op_id is not None and not known:
                # A stream that was deleted at the old place: its tombstone knows a call that is repeated.
                try:
                    return await self.old.commit(stream, change._replace(incarnation="-"))
                except ConflictError:
                    known = True
            try:
                return await place.commit(stream, pinned)
            except ConflictError:
                now, after = await self._where(stream)
                if now is place and (head and head.incarnation) == (after and after.incarnation):
                    raise
        raise UnavailableError(f"{stream!r} was begun and deleted {_MAX_ATTEMPTS} times meanwhile: repeat the call")

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Read where the stream lives."""
        for _ in range(_MAX_ATTEMPTS):
            place, head = await self._where(stream)
            found = await place.read(stream, window)
            if place is not self.old:
                if found.head is None or not is_marked(found.head):
                    return found
            elif found.head is not None:
                return found
            if head is None:
                return Slice(None, [])
        raise UnavailableError(f"{stream!r} changed {_MAX_ATTEMPTS} times while it was read: read it again")

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        """Return the calls of the place where the stream lives."""
        return await (await self._where(stream))[0].remembered(stream)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Return the head of each stream from the place where it lives."""
        there = await self.old.heads(streams)
        gone = [name for name, head in zip(streams, there, strict=True) if head is None]
        moved = dict(zip(gone, await self.backend.heads(gone), strict=True)) if gone else {}
        found = []
        for name, head in zip(streams, there, strict=True):
            one = head or moved[name]
            if head is None and one is not None and is_marked(one):
                one = (await self._where(name))[1]
            found.append(one)
        return found

    async def streams(self, query: Query) -> Listing:
        """List both places. A stream that lives in both counts at the old one."""
        last = parse_cursor(query)
        found = {one.name: one for one in await _all(self.old, query)}
        for one in await _all(self.backend, query):
            if one.name in found:
                continue
            if one.head is not None and is_marked(one.head):
                head = (await self._where(one.name))[1]
                if head is None:
                    continue
                one = Listed(one.name, head.updated_at, head)  # noqa: PLW2901
            found[one.name] = one
        order = _by_name if query.order == "name" else _by_recency
        rest = sorted((one for one in found.values() if last is None or order(one) > order(last)), key=order)
        page = [one if query.heads else one._replace(head=None) for one in rest[: query.limit]]
        return Listing(page, after_cursor(query.order, page[-1]) if page and len(rest) > query.limit else None)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        """Wait where the stream lives, and look again twice a second whether it moved."""
        deadline = time.monotonic() + timeout
        while True:
            place, head = await self._where(stream)
            if is_news(head, incarnation, next):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            seconds = min(left, _LOOK_SECONDS)
            if place is self.backend and head is None:
                await asyncio.sleep(seconds)
            else:
                await place.wait(stream, incarnation=incarnation, next=next, timeout=seconds)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Write where the stream lives."""
        return await (await self._where(stream))[0].write_blob(stream, chunks)

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Read where the stream lives."""
        async for piece in (await self._where(stream))[0].read_blob(stream, blob, start=start, stop=stop):
            yield piece

    async def blob_url(self, stream: str, blob: str, *, expires: timedelta) -> str:
        """Return the URL of the place where the stream lives."""
        return await (await self._where(stream))[0].blob_url(stream, blob, expires=expires)

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Sweep both places."""
        one, two = await self.old.sweep(dry_run=dry_run), await self.backend.sweep(dry_run=dry_run)
        return Swept(one.streams + two.streams, one.blobs + two.blobs, one.bytes + two.bytes)

    async def close(self) -> None:
        """Close both places."""
        try:
            await self.old.close()
        finally:
            await self.backend.close()

    async def _where(self, stream: str) -> tuple[Backend, Head | None]:
        """Return the place of a stream, and its head. A copy that is finished is put into use, a stale one removed."""
        for _ in range(_MAX_ATTEMPTS):
            (there,) = await self.old.heads([stream])
            if there is not None:
                return self.old, there
            (head,) = await self.backend.heads([stream])
            if head is None or not is_marked(head):
                return self.backend, head
            try:
                if await was_moved(self.old, stream, head.incarnation):
                    await unmark(self.backend, head)
                else:  # its user deleted it while it was copied
                    await self.backend.commit(stream, delete_if_still(head))
            except ConflictError:
                continue
        raise UnavailableError(f"{stream!r} is moved and deleted again and again: repeat the call")


async def _all(backend: Backend, query: Query) -> list[Listed]:
    found: list[Listed] = []
    after = None
    while True:
        page = await backend.streams(Query(query.prefix, query.where, after=after, limit=_PAGE, heads=True))
        found += page.streams
        after = page.after
        if after is None:
            return found


def _by_name(one: Listed) -> Any:
    return one.name


def _by_recency(one: Listed) -> Any:
    return (-one.updated_at, one.name)
