"""Clauses of incarnations: a delete or an expiry ends one, and the next inherits nothing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from stowfast.abc import Change, Query, Slice, Window
from stowfast.errors import ConflictError, InvalidError
from stowfast.names import MAX_MOMENT, MIN_MOMENT
from stowfast.testing.clause import append, clauses, holds, numbered, positions, raises, same, told, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Backend, Head, Receipt
    from stowfast.testing.clause import Make

LONG_AGO: Final = 1
HOUR: Final = 3_600 * 1_000_000


async def a_delete_hides_everything(make: Make[Backend]) -> None:
    """After a delete no method shows anything of the stream, through any opening."""
    stream = unique()
    async with make() as backend, make() as other:
        await backend.commit(stream, Change(numbered(3), labels={"k": "v"}, note=b"n", expires_at=_now() + HOUR))
        await backend.commit(stream, Change(delete=True))
        for opening in (backend, other):
            await _nothing(opening, stream)
    async with make() as backend:
        await _nothing(backend, stream)


async def deleting_what_is_not_there_is_fine(make: Make[Backend]) -> None:
    """A delete of an unknown or deleted stream succeeds, and the stream stays absent."""
    async with make() as backend:
        stream = unique()
        for _ in range(2):
            await backend.commit(stream, Change(delete=True))
            await append(backend, stream, b"0")
            await backend.commit(stream, Change(delete=True))
            await backend.commit(stream, Change(delete=True))
            await _nothing(backend, stream)


async def a_stream_begun_again_is_another(make: Make[Backend]) -> None:
    """A stream begun after a delete has another incarnation, begins at 0 and inherits nothing."""
    async with make() as backend:
        stream, lives = unique(), set()
        for _ in range(3):
            full = Change(numbered(2), labels={"k": "v"}, note=b"n", base=1, expires_at=_now() + HOUR)
            lives.add((await backend.commit(stream, full)).incarnation)
            await backend.commit(stream, Change(delete=True))
            receipt = await append(backend, stream, b"new")
            lives.add(receipt.incarnation)
            head = await _head(backend, stream)
            same((receipt.first, head.first, head.next, head.length, head.base), (0, 0, 1, 1, 0), "where it begins")
            same((head.labels, head.note, head.expires_at), ({}, b"", None), "what it inherits")
            same(
                (await backend.streams(Query(stream, where={"k": "v"}))).streams,
                [],
                "found by a label of its past life",
            )
            await backend.commit(stream, Change(delete=True))
        same(len(lives), 6, "incarnations of six lives")


async def a_delete_and_a_beginning_are_one_change(make: Make[Backend]) -> None:
    """A change that deletes and adds replaces the stream at once: a reader sees the old or the new one, whole."""
    async with make() as writer, make() as reader:
        stream, done = unique(), asyncio.Event()
        await append(writer, stream, b"0", b"0")

        async def replace() -> None:
            for number in range(20):
                receipt = await writer.commit(stream, Change([b"%d" % number] * 2, delete=True))
                same(receipt.first, 0, "where the new life begins")
            done.set()

        replacing = asyncio.create_task(replace())
        try:
            for _ in range(10_000):
                entries = (await reader.read(stream)).entries
                same([entry.position for entry in entries], [0, 1], "positions while it is replaced")
                same(len({entry.data for entry in entries}), 1, "lives seen in one read")
                if done.is_set():
                    break
                await asyncio.sleep(0)
        finally:
            await replacing


async def a_pinned_incarnation_ends_with_it(make: Make[Backend]) -> None:
    """A change that pins an ended incarnation is a ConflictError, also after a new one began at 0."""
    async with make() as backend:
        stream = unique()
        first = await append(backend, stream, b"0")
        pinned = Change([b"x"], incarnation=first.incarnation)
        await backend.commit(stream, pinned)
        for then in (Change(delete=True), Change([b"new"])):
            await backend.commit(stream, then)
            before = await backend.read(stream)
            await raises(ConflictError, backend.commit(stream, pinned), f"a pinned incarnation after {told(then)}")
            same(await backend.read(stream), before, "the stream after a conflict")


async def appends_that_race_a_delete_are_before_or_after_it(make: Make[Backend]) -> None:
    """Of appends that race a delete, the stream has exactly those acknowledged in its current incarnation."""
    async with make() as one, make() as other:
        for _ in range(5):
            stream = unique()

            async def write(writer: int, stream: str = stream) -> list[Receipt]:
                backend = (one, other)[writer % 2]
                return [await append(backend, stream, b"%d:%d" % (writer, number)) for number in range(5)]

            written, _ = await asyncio.gather(
                asyncio.gather(*map(write, range(6))), one.commit(stream, Change(delete=True))
            )
            head, entries = await one.read(stream)
            lives = [receipt for receipts in written for receipt in receipts if head]
            living = sorted(receipt.first for receipt in lives if head and receipt.incarnation == head.incarnation)
            same([entry.position for entry in entries], living, "positions of the life that goes on")
            same(living, list(range(len(living))), "positions from 0")


async def an_expired_stream_is_gone_at_once(make: Make[Backend]) -> None:
    """An expired stream is gone for every method at once, before any sweep."""
    stream = unique()
    async with make() as backend:
        await backend.commit(stream, Change(numbered(3), labels={"k": "v"}, expires_at=LONG_AGO))
        await _nothing(backend, stream)
        await append(backend, stream, b"0")
        await backend.commit(stream, Change(expires_at=LONG_AGO))
    async with make() as backend:
        await _nothing(backend, stream)


async def an_append_to_an_expired_stream_begins_anew(make: Make[Backend]) -> None:
    """A commit to an expired stream begins a new incarnation at 0 that inherits nothing, nor the expiry."""
    async with make() as backend:
        stream = unique()
        old = await backend.commit(
            stream, Change(numbered(3), labels={"k": "v"}, note=b"n", base=2, expires_at=LONG_AGO)
        )
        error = await raises(
            ConflictError, backend.commit(stream, Change([b"x"], expect=3)), "expect=3 of an expired one"
        )
        same(error.current, 0, "`current` of the error")
        new = await backend.commit(stream, Change([b"new"], expect=0))
        holds(new.incarnation != old.incarnation, "an expired stream that is begun again has another incarnation")
        head, entries = await backend.read(stream)
        same([(entry.position, entry.data) for entry in entries], [(0, b"new")], "entries")
        inherits = head and (head.labels, head.note, head.expires_at, head.length, head.base)
        same(inherits, ({}, b"", None, 1, 0), "what it inherits")


async def an_expiry_is_replaced_removed_or_kept(make: Make[Backend]) -> None:
    """`expires_at` replaces the moment of expiry, None removes it, and KEEP keeps it."""
    async with make() as backend:
        stream, later = unique(), _now() + HOUR
        await backend.commit(stream, Change([b"0"], expires_at=later))
        await append(backend, stream, b"1")
        await backend.commit(stream, Change(labels={"k": "v"}))
        same((await _head(backend, stream)).expires_at, later, "an expiry that was kept")
        await backend.commit(stream, Change(expires_at=later + HOUR))
        same((await _head(backend, stream)).expires_at, later + HOUR, "an expiry that was replaced")
        await backend.commit(stream, Change(expires_at=None))
        same((await _head(backend, stream)).expires_at, None, "an expiry that was removed")
        same(await positions(backend, stream), [0, 1], "positions")


async def a_ttl_counts_from_its_commit(make: Make[Backend]) -> None:
    """`ttl` sets the expiry to the time of its commit plus the ttl; a repeat and a commit without one move nothing."""
    async with make() as backend:
        stream = unique()
        for op_id in ("first", "second"):
            receipt = await backend.commit(stream, Change([b"x"], op_id, ttl=HOUR))
            same((await _head(backend, stream)).expires_at, receipt.committed_at + HOUR, "an expiry by ttl")
            await backend.commit(stream, Change([b"x"], op_id, ttl=2 * HOUR))
            await append(backend, stream, b"y")
            same((await _head(backend, stream)).expires_at, receipt.committed_at + HOUR, "after a repeat, an append")
        await backend.commit(stream, Change(expires_at=None))
        same((await _head(backend, stream)).expires_at, None, "an expiry that was removed")
        await raises(InvalidError, backend.commit(stream, Change(ttl=1, expires_at=None)), "ttl and expires_at")
        await raises(InvalidError, backend.commit(stream, Change(ttl=-1)), "a negative ttl")
        await backend.commit(stream, Change([b"last"], ttl=0))
        await _nothing(backend, stream)


async def an_expiry_is_a_moment_of_the_years_1_to_9999(make: Make[Backend]) -> None:
    """An expiry of the years 1 to 9999 is kept exactly, one outside is an InvalidError, and a ttl ends with 9999."""
    async with make() as backend:
        stream = unique()
        await backend.commit(stream, Change([b"x"], expires_at=MAX_MOMENT))
        same((await _head(backend, stream)).expires_at, MAX_MOMENT, "the last moment")
        for moment in (MAX_MOMENT + 1, MIN_MOMENT - 1, 2**62):
            await raises(InvalidError, backend.commit(stream, Change([b"y"], expires_at=moment)), f"{moment}")
        await backend.commit(stream, Change(ttl=2**62))
        same((await _head(backend, stream)).expires_at, MAX_MOMENT, "a ttl beyond the year 9999")
        same(await positions(backend, stream), [0], "positions after refused changes")
        await backend.commit(stream, Change(expires_at=MIN_MOMENT))
        await _nothing(backend, stream)


async def a_large_removal_is_one_moment(make: Make[Backend]) -> None:
    """A removal of thousands of entries is seen whole, at once and by every opening, however long it takes behind."""
    stream, count = unique(), 3_000
    async with make() as backend, make() as other:
        await backend.commit(stream, Change(numbered(count), op_id="first"))
        await backend.commit(stream, Change(drop_before=count - 2))
        for opening in (backend, other):
            for window in (Window(), Window(start=0), Window(limit=9, newest=True)):
                head, entries = await opening.read(stream, window)
                same(head and (head.first, head.length), (count - 2, 2), f"the head after a large drop, {window}")
                same([entry.position for entry in entries], [count - 2, count - 1], f"a large drop, {window}")
        await backend.commit(stream, Change(numbered(count)))
        await backend.commit(stream, Change(delete=True))
        for opening in (backend, other):
            await _nothing(opening, stream)
        again = await backend.commit(stream, Change(numbered(count), op_id="first"))
        same((again.first, again.next, again.repeated), (0, count, True), "a repeat after a large deletion")
        await append(other, stream, b"new")
        await backend.sweep()
        same(await positions(backend, stream), [0], "positions of the next life after a sweep")


async def a_sweep_removes_the_expired_and_spares_the_living(make: Make[Backend]) -> None:
    """A sweep removes expired streams for good, counts them, and touches no readable stream."""
    async with make() as backend:
        await backend.sweep()  # an opening may sweep behind, and must not take what is counted below
        living, begun, gone = unique(), unique(), unique()
        await backend.commit(living, Change(numbered(3), labels={"k": "v"}, note=b"n", expires_at=_now() + HOUR))
        for stream in (begun, gone):
            await backend.commit(stream, Change(numbered(3), expires_at=LONG_AGO))
        await append(backend, begun, b"new")
        before = [await backend.read(stream) for stream in (living, begun)]
        holds((await backend.sweep()).streams >= 1, "a sweep counts the expired stream it removed")
        await backend.sweep()
        same([await backend.read(stream) for stream in (living, begun)], before, "the living after a sweep")
        same(len((await backend.streams(Query(living, where={"k": "v"}))).streams), 1, "found by a label after a sweep")
        await _nothing(backend, gone)


async def a_dry_run_says_what_a_sweep_removes(make: Make[Backend]) -> None:
    """A dry run of a sweep changes nothing and returns the numbers of streams and blobs that the next sweep removes."""

    async def body() -> AsyncIterator[bytes]:
        yield b"body"

    async with make() as backend, make() as other:
        living = unique()
        linked = await backend.write_blob(living, body())
        await backend.commit(living, Change(numbered(3), blobs=(linked,), labels={"k": "v"}, expires_at=_now() + HOUR))
        fresh = await backend.write_blob(living, body())
        before = await backend.read(living)
        for opening in (backend, other):
            await opening.sweep()
        for count in (0, 3):
            for _ in range(count):
                gone = unique()
                blob = await backend.write_blob(gone, body())
                await backend.commit(gone, Change(numbered(2), blobs=(blob,), expires_at=LONG_AGO))
            said = [await opening.sweep(dry_run=True) for opening in (backend, other, backend)]
            same(await other.read(living), before, "a living stream after dry runs")
            swept = await backend.sweep()
            same([one[:2] for one in said], [swept[:2]] * 3, "what dry runs said, and what the sweep removed")
            same(swept.streams, count, "streams removed")
        await backend.commit(living, Change([b"x"], blobs=(fresh,)))
        same(
            [chunk async for chunk in other.read_blob(living, fresh)], [b"body"], "an upload that dry runs came across"
        )


async def _head(backend: Backend, stream: str) -> Head:
    head = (await backend.heads([stream]))[0]
    if head is None:
        raise AssertionError(f"{stream} is not there")
    return head


async def _nothing(backend: Backend, stream: str) -> None:
    same(await backend.read(stream), Slice(None, []), "what is read of a stream that is gone")
    same(await backend.heads([stream]), [None], "the head of a stream that is gone")
    same((await backend.streams(Query(stream))).streams, [], "a stream that is gone, listed by name")
    same((await backend.streams(Query(stream, order="recent"))).streams, [], "a stream that is gone, listed by recency")
    same(
        (await backend.streams(Query(stream, where={"k": "v"}))).streams, [], "a stream that is gone, found by a label"
    )


def _now() -> int:
    return time.time_ns() // 1_000


CLAUSES = clauses(__name__)
