"""Clauses of the idempotency key: an op_id names a call, so a repeat after a lost answer is not done twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from stowfast.abc import OPERATIONS_REMEMBERED, Change
from stowfast.errors import ConflictError, InvalidError
from stowfast.testing.clause import append, clauses, holds, numbered, raises, same, stored, told, unique

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.testing.clause import Make

LONG_AGO: Final = 1
TRIES: Final = 5


async def a_repeat_is_known_after_reopening(make: Make[Backend]) -> None:
    """A reopened backend answers a repeat as the first opening did."""
    stream, change = unique(), Change([b"once"], op_id="op")
    async with make() as backend:
        first = await backend.commit(stream, change)
    async with make() as backend:
        same(await backend.commit(stream, change), first._replace(repeated=True), "the receipt of a repeat")
        same(await stored(backend, stream), [b"once"], "entries")


async def a_repeat_is_not_held_to_its_conditions(make: Make[Backend]) -> None:
    """A repeat is answered even if its `expect`, `revision` and `incarnation` no longer hold."""
    async with make() as backend:
        stream = unique()
        begun = await append(backend, stream, b"0")
        change = Change([b"1"], op_id="op", expect=1, revision=0, incarnation=begun.incarnation)
        first = await backend.commit(stream, change)
        await backend.commit(stream, Change([b"2"], labels={"k": "v"}))
        same(await backend.commit(stream, change), first._replace(repeated=True), "the receipt of a repeat")
        await backend.commit(stream, Change(delete=True))
        same(await backend.commit(stream, change), first._replace(repeated=True), "the receipt after a delete")


async def a_repeat_after_a_cut_brings_nothing_back(make: Make[Backend]) -> None:
    """An op_id is known after its entries were cut off: an undone message does not return."""
    await _brings_nothing_back(make, Change(cut_from=1))


async def a_repeat_after_a_drop_brings_nothing_back(make: Make[Backend]) -> None:
    """An op_id is known after its entries were dropped."""
    await _brings_nothing_back(make, Change(drop_before=3))


async def a_repeat_after_a_delete_brings_nothing_back(make: Make[Backend]) -> None:
    """An op_id is known after its stream was deleted: a stalled writer does not restore it."""
    await _brings_nothing_back(make, Change(delete=True))


async def a_repeat_after_expiry_brings_nothing_back(make: Make[Backend]) -> None:
    """An op_id is known after its stream expired, and after the sweep of that stream."""
    await _brings_nothing_back(make, Change(expires_at=LONG_AGO))


async def an_op_id_names_one_call(make: Make[Backend]) -> None:
    """An op_id that named a call with another number of entries is an InvalidError; nothing is stored."""
    async with make() as backend:
        stream = unique()
        await backend.commit(stream, Change([b"a"], op_id="op"))
        for entries in ([], [b"a", b"b"]):
            change = Change(entries, op_id="op", labels={"k": "v"})
            await raises(InvalidError, backend.commit(stream, change), "an op_id of another call")
        head = (await backend.heads([stream]))[0]
        same(await stored(backend, stream), [b"a"], "entries")
        same(head and head.labels, {}, "labels after a refused change")


async def a_repeated_beginning_may_have_grown(make: Make[Backend]) -> None:
    """A repeat with `expect=0` is a repeat with any number of entries: the source of a fork may have grown."""
    async with make() as backend:
        stream = unique()
        first = await backend.commit(stream, Change([b"a"], op_id="op", expect=0))
        grown = Change([b"a", b"b"], op_id="op", expect=0, labels={"k": "v"})
        same(await backend.commit(stream, grown), first._replace(repeated=True), "the receipt of a repeat")
        head = (await backend.heads([stream]))[0]
        same(await stored(backend, stream), [b"a"], "entries")
        same(head and head.labels, {}, "labels after a repeat")


async def an_op_id_belongs_to_its_stream(make: Make[Backend]) -> None:
    """The same op_id in two streams names two calls."""
    async with make() as backend:
        one, other = unique(), unique()
        for stream in (one, other):
            receipt = await backend.commit(stream, Change([stream.encode()], op_id="op"))
            same((receipt.first, receipt.repeated), (0, False), "the receipt of a first call")
        for stream in (one, other):
            same(await stored(backend, stream), [stream.encode()], "entries")


async def an_op_id_has_bounds(make: Make[Backend]) -> None:
    """An op_id has the bounds of a name: empty, too long, with NUL or a lone surrogate it is an InvalidError."""
    async with make() as backend:
        stream = unique()
        for op_id in ("", "x" * 10_000, "a\0b", "\ud800"):
            change = Change([b"x"], op_id=op_id)
            await raises(InvalidError, backend.commit(stream, change), f"op_id {op_id[:5]!r}")
        await backend.commit(stream, Change([b"x"], op_id="\U0001f600 ; 'quoted' \u00e9"))
        same(await stored(backend, stream), [b"x"], "entries")


async def a_refused_call_does_not_use_up_its_op_id(make: Make[Backend]) -> None:
    """A refused call was not made: with a corrected condition it succeeds under the same op_id."""
    async with make() as backend:
        stream = unique()
        await append(backend, stream, b"0")
        await raises(ConflictError, backend.commit(stream, Change([b"1"], op_id="op", expect=0)), "a stale expect")
        receipt = await backend.commit(stream, Change([b"1"], op_id="op", expect=1))
        same((receipt.first, receipt.repeated), (1, False), "the receipt after a conflict")
        same(await stored(backend, stream), [b"0", b"1"], "entries")


async def an_op_id_lives_as_long_as_its_entries(make: Make[Backend]) -> None:
    """Each op_id with an entry in the stream is remembered, in any number, also after others are dropped."""
    async with make() as backend:
        stream, count = unique(), 3 * OPERATIONS_REMEMBERED
        changes = [Change([b"%d" % number], op_id=f"op-{number}") for number in range(count)]
        for change in changes:
            await backend.commit(stream, change)
        await backend.commit(stream, Change(drop_before=10, cut_from=count - 10))
        receipts = [await backend.commit(stream, change) for change in changes[10:-10]]
        same([receipt.first for receipt in receipts], list(range(10, count - 10)), "positions of the first calls")
        same({receipt.repeated for receipt in receipts}, {True}, "`repeated`")
        same(await stored(backend, stream), numbered(count)[10:-10], "entries")


async def the_newest_op_ids_outlive_their_entries(make: Make[Backend]) -> None:
    """The newest `OPERATIONS_REMEMBERED` op_ids are known without their entries, also if all came at once."""
    async with make() as backend:
        for gone in (Change(cut_from=0), Change(drop_before=1_000), Change(delete=True)):
            stream, count = unique(), 2 * OPERATIONS_REMEMBERED
            changes = [Change([b"x"], op_id=f"op-{number}") for number in range(count)]
            receipts = await asyncio.gather(*(backend.commit(stream, change) for change in changes))
            await backend.commit(stream, gone)
            for change, first in zip(changes, receipts, strict=True):
                if first.first >= count - OPERATIONS_REMEMBERED:
                    same(
                        await backend.commit(stream, change),
                        first._replace(repeated=True),
                        f"a repeat after {told(gone)}",
                    )
            same(await stored(backend, stream), [], "entries that came back")


async def concurrent_repeats_add_once(make: Make[Backend]) -> None:
    """Of concurrent calls with one op_id one is made and the others are its repeats, through every opening."""
    async with make() as one, make() as other:
        stream = unique()
        for number in range(10):
            change = Change([b"same bytes"], op_id=f"op-{number}")
            receipts = await asyncio.gather(*((one, other)[racer % 2].commit(stream, change) for racer in range(12)))
            same(sorted(receipt.repeated for receipt in receipts), [False] + [True] * 11, "`repeated` of the racers")
            same({receipt.first for receipt in receipts}, {number}, "the position all are told")
        same(len(await stored(one, stream)), 10, "entries")


async def _brings_nothing_back(make: Make[Backend], gone: Change) -> None:
    stream, change = unique(), Change([b"1", b"2"], op_id="op")
    async with make() as backend:
        await append(backend, stream, b"0")
        first = await backend.commit(stream, change)
        await backend.commit(stream, gone)
        left = await backend.read(stream)
        holds(b"1" not in [entry.data for entry in left.entries], "the entries are gone")
        await backend.sweep()
    async with make() as backend:
        same(await backend.commit(stream, change), first._replace(repeated=True), "the receipt of a repeat")
        same(await backend.read(stream), left, "the stream after the repeat")


CLAUSES = clauses(__name__)
