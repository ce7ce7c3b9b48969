"""Clauses of the log: appends, conditions on the next position, cuts and drops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import MAX_ENTRY_BYTES, Change, Entry, Slice, Window
from stowfast.errors import ConflictError, InvalidError
from stowfast.testing.clause import append, clauses, either, holds, numbered, positions, raises, same, stored, unique

if TYPE_CHECKING:
    from stowfast.abc import Backend, Receipt
    from stowfast.testing.clause import Make

ROUNDS: Final = 10
RACERS: Final = 16


async def positions_begin_at_zero_and_leave_no_gap(make: Make[Backend]) -> None:
    """Entries get consecutive positions from 0, in the order given; the receipt returns them."""
    async with make() as backend:
        stream = unique()
        for count, first in ((1, 0), (3, 1), (2, 4)):
            receipt = await append(backend, stream, *(b"%d" % (first + step) for step in range(count)))
            same((receipt.first, receipt.next), (first, first + count), "positions in the receipt")
        same(await positions(backend, stream), list(range(6)), "positions read")
        same(await stored(backend, stream), numbered(6), "entries in the order given")


async def an_acknowledged_commit_is_there_after_reopening(make: Make[Backend]) -> None:
    """An acknowledged commit is never lost: a reopened backend has all of it."""
    stream = unique()
    async with make() as backend:
        await backend.commit(stream, Change(numbered(5), op_id="op", labels={"k": "v"}, note=b"note"))
        before = await backend.read(stream)
    async with make() as backend:
        same(await backend.read(stream), before, "what is read after reopening")


async def an_acknowledged_commit_is_seen_by_every_opening(make: Make[Backend]) -> None:
    """A read sees every commit that was acknowledged before it, through every opening."""
    async with make() as here, make() as there:
        stream = unique()
        for number in range(20):
            await append(here, stream, b"%d" % number)
            same(len(await stored(there, stream)), number + 1, "entries seen through another opening")


async def any_bytes_come_back_as_given(make: Make[Backend]) -> None:
    """An entry is any bytes: none, every byte value, text, zeros, a megabyte."""
    entries = [b"", bytes(range(256)), "héllo\U0001f600\n".encode(), b"\0" * 3, bytes(range(256)) * 4096, b'"', b""]
    stream = unique()
    async with make() as backend:
        await append(backend, stream, *entries)
    async with make() as backend:
        found = await stored(backend, stream)
        same(found, entries, "entries")
        holds(all(type(entry) is bytes for entry in found), "an entry is of type bytes")


async def an_entry_over_its_bound_is_refused(make: Make[Backend]) -> None:
    """An entry over `MAX_ENTRY_BYTES` is an InvalidError; nothing of its batch is stored."""
    async with make() as backend:
        stream = unique()
        change = Change([b"small", bytes(MAX_ENTRY_BYTES + 1)], labels={"k": "v"})
        await raises(InvalidError, backend.commit(stream, change), "an entry over the bound")
        same(await backend.read(stream), Slice(None, []), "what a refused change left")


async def an_entry_of_the_largest_size_is_stored(make: Make[Backend]) -> None:
    """An entry of exactly `MAX_ENTRY_BYTES` is stored and returned whole."""
    async with make() as backend:
        stream, largest = unique(), b"\0\1" * (MAX_ENTRY_BYTES // 2)
        await append(backend, stream, largest)
        holds(await stored(backend, stream) == [largest], "the largest entry comes back as it was given")
        await backend.commit(stream, Change(delete=True))


async def an_entry_that_is_not_bytes_is_refused(make: Make[Backend]) -> None:
    """An entry of another type than `bytes` is an InvalidError; nothing of its batch is stored."""
    wrong: tuple[Any, ...] = ("text", bytearray(b"array"), memoryview(b"view"), 7, None)
    async with make() as backend:
        for entry in wrong:
            stream = unique()
            await raises(InvalidError, backend.commit(stream, Change([b"bytes", entry])), f"the entry {entry!r}")
            same(await backend.read(stream), Slice(None, []), "what a refused change left")


async def a_change_of_nothing_begins_nothing(make: Make[Backend]) -> None:
    """A change without entries, labels or note begins no stream and adds nothing to one."""
    async with make() as backend:
        stream = unique()
        receipt = await backend.commit(stream, Change())
        same((receipt.first, receipt.next), (0, 0), "positions of an empty change")
        same(await backend.heads([stream]), [None], "the head after an empty change")
        await append(backend, stream, *numbered(2))
        receipt = await backend.commit(stream, Change())
        same((receipt.first, receipt.next), (2, 2), "positions of an empty change")
        same(await stored(backend, stream), numbered(2), "entries")


async def an_entry_says_when_and_by_which_call_it_came(make: Make[Backend]) -> None:
    """An entry has the time and op_id of its commit; the receipt has the incarnation and the same time."""
    async with make() as backend:
        stream = unique()
        named = await backend.commit(stream, Change([b"a", b"b"], op_id="call-1"))
        plain = await append(backend, stream, b"c")
        head, entries = await backend.read(stream)
        wanted = [
            Entry(0, b"a", named.committed_at, "call-1"),
            Entry(1, b"b", named.committed_at, "call-1"),
            Entry(2, b"c", plain.committed_at, None),
        ]
        same(entries, wanted, "entries")
        same([named.repeated, plain.repeated], [False, False], "`repeated` of a first call")
        same([named.incarnation, plain.incarnation], [head and head.incarnation] * 2, "incarnation in the receipts")


async def time_never_goes_back_along_a_stream(make: Make[Backend]) -> None:
    """The times of entries never decrease along a stream, through every opening."""
    async with make() as one, make() as other:
        stream = unique()
        for number in range(20):
            await append((one, other)[number % 2], stream, b"")
        times = [entry.created_at for entry in (await one.read(stream)).entries]
        same(times, sorted(times), "times along the stream")
        head = (await one.heads([stream]))[0]
        same(head and (head.created_at, head.updated_at), (times[0], times[-1]), "times in the head")


async def an_expected_position_must_be_the_next(make: Make[Backend]) -> None:
    """With `expect` a commit gets that position, or a ConflictError that names the next position."""
    async with make() as backend:
        stream = unique()
        error = await raises(
            ConflictError, backend.commit(stream, Change([b"x"], expect=1)), "expect=1 of a new stream"
        )
        same(error.current, 0, "`current` of the error")
        same(await backend.heads([stream]), [None], "the head after a conflict")
        await backend.commit(stream, Change([b"0", b"1"], expect=0))
        for wrong in (0, 1, 3):
            change = Change([b"x"], expect=wrong, labels={"k": "v"}, note=b"n", drop_before=1)
            error = await raises(ConflictError, backend.commit(stream, change), f"expect={wrong} at 2")
            same(error.current, 2, "`current` of the error")
        receipt = await backend.commit(stream, Change([b"2"], expect=2))
        same(receipt.first, 2, "the position that was expected")
        head, entries = await backend.read(stream)
        same([entry.data for entry in entries], numbered(3), "entries")
        same(head and (head.labels, head.note), ({}, b""), "labels and note after conflicts")


async def concurrent_appends_are_all_there_once(make: Make[Backend]) -> None:
    """Concurrent writers lose, double or reorder nothing, through every opening."""
    async with make() as one, make() as other:
        stream, writers, each = unique(), 20, 10

        async def write(writer: int) -> list[Receipt]:
            backend = (one, other)[writer % 2]
            return [await append(backend, stream, b"%d:%d" % (writer, number)) for number in range(each)]

        receipts = await asyncio.gather(*map(write, range(writers)))
        head, entries = await one.read(stream)
        same([entry.position for entry in entries], list(range(writers * each)), "positions")
        same(head and (head.next, head.length), (writers * each, writers * each), "next and length")
        for writer, got in enumerate(receipts):
            mine = [entry for entry in entries if entry.data.startswith(b"%d:" % writer)]
            same([entry.data for entry in mine], [b"%d:%d" % (writer, n) for n in range(each)], "a writer's entries")
            same([entry.position for entry in mine], [receipt.first for receipt in got], "where its receipts say")


async def a_cut_takes_the_end(make: Make[Backend]) -> None:
    """A cut removes the entries from a position on. Their positions are not given again."""
    stream = unique()
    async with make() as backend:
        await append(backend, stream, *numbered(5))
        await backend.commit(stream, Change(cut_from=3))
        same(await positions(backend, stream), [0, 1, 2], "positions after a cut")
    async with make() as backend:
        same((await append(backend, stream, b"new")).first, 5, "the position after a cut")
        same(await positions(backend, stream), [0, 1, 2, 5], "positions after an append")
        receipt = await backend.commit(stream, Change([b"instead"], cut_from=1))
        same(receipt.first, 6, "the position of what stands instead")
        head, entries = await backend.read(stream)
        same([entry.data for entry in entries], [b"0", b"instead"], "entries")
        same(head and (head.first, head.next, head.length), (0, 7, 2), "first, next and length")


async def a_cut_of_all_is_a_drop(make: Make[Backend]) -> None:
    """A cut of all entries moves `first` as a drop of all does, so that a backend may remove them later."""
    stream = unique()
    async with make() as backend:
        await append(backend, stream, *numbered(3))
        await backend.commit(stream, Change(drop_before=1))
        receipt = await backend.commit(stream, Change([b"instead"], cut_from=1))
        same((receipt.first, receipt.next), (3, 4), "the positions of what stands instead")
        head, entries = await backend.read(stream, Window(start=0))
        same([(entry.position, entry.data) for entry in entries], [(3, b"instead")], "entries")
        same(head and (head.first, head.next, head.length), (3, 4, 1), "first, next and length")
        await backend.commit(stream, Change(cut_from=0))
        head, entries = await backend.read(stream, Window(start=0))
        same(entries, [], "entries after a cut of all")
        same(head and (head.first, head.next, head.length), (4, 4, 0), "first, next and length")


async def of_racing_cuts_one_wins(make: Make[Backend]) -> None:
    """Of racing cuts under the same `revision` exactly one succeeds, even if all are identical."""
    async with make() as one, make() as other:
        stream = unique()
        await append(one, stream, *numbered(ROUNDS))
        for length in range(ROUNDS, 0, -1):
            head = (await one.heads([stream]))[0]
            change = Change(cut_from=length - 1, revision=head.revision if head else -1)
            racing = (either((one, other)[racer % 2].commit(stream, change), ConflictError) for racer in range(RACERS))
            lost = [result for result in await asyncio.gather(*racing) if isinstance(result, ConflictError)]
            same(len(lost), RACERS - 1, "cuts that lost")
            same(len(await stored(one, stream)), length - 1, "entries after a race")


async def a_drop_takes_the_front(make: Make[Backend]) -> None:
    """A drop removes the entries below a position. The other entries keep their positions."""
    stream = unique()
    async with make() as backend:
        await append(backend, stream, *numbered(6))
        await backend.commit(stream, Change([b"6"], drop_before=2, note=b"a summary of two"))
        head, entries = await backend.read(stream)
        same([entry.position for entry in entries], [2, 3, 4, 5, 6], "positions after a drop")
        same(head and (head.first, head.next, head.length), (2, 7, 5), "first, next and length")
    async with make() as backend:
        await backend.commit(stream, Change(drop_before=1))
        same(await positions(backend, stream), [2, 3, 4, 5, 6], "positions after a drop of what is gone")
        same(
            [e.position for e in (await backend.read(stream, Window(limit=2))).entries],
            [2, 3],
            "the first two that are left",
        )


async def a_removal_beyond_the_end_stops_there(make: Make[Backend]) -> None:
    """A drop or a cut beyond the end removes the existing entries and keeps the next position."""
    async with make() as backend:
        stream = unique()
        await append(backend, stream, *numbered(3))
        await backend.commit(stream, Change(cut_from=99))
        same(await positions(backend, stream), [0, 1, 2], "positions after a cut beyond the end")
        await backend.commit(stream, Change(cut_from=2))
        await backend.commit(stream, Change(drop_before=99))
        head, entries = await backend.read(stream)
        same(entries, [], "entries after a drop beyond the end")
        same(head and (head.next, head.length), (3, 0), "next and length of an emptied stream")
        same((await append(backend, stream, b"3")).first, 3, "the next position")
        same(await stored(backend, stream), [b"3"], "entries")


CLAUSES = clauses(__name__)
