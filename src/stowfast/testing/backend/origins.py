"""Clauses of copies: a stream that was copied with its origin is as it was in the other place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stowfast.abc import Change, Entry, Origin, Query, Window
from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.testing.clause import append, clauses, holds, numbered, raises, same, stored, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Backend, Head, Receipt
    from stowfast.testing.clause import Make

_WHOLE: Final = Window(start=0)
_HOUR: Final = 3_600 * 1_000_000


async def a_copied_stream_cannot_be_told_from_its_source(make: Make[Backend]) -> None:
    """A stream copied with its origin has the head, the positions, the times and the op_ids of its source."""
    async with make() as backend, make() as other:
        source, target = unique("source"), unique("target")
        await _eventful(backend, source)
        origin = await _origin(backend, source)
        receipt = await backend.commit(target, Change(origin=origin, expect=0))
        same((receipt.incarnation, receipt.next), (origin.head.incarnation, origin.head.next), "its receipt")
        for opening in (backend, other):
            await _same(opening, source, target)
        (listed,) = (await backend.streams(Query(target, where={"k": "v"}, heads=True))).streams
        same(listed.name, target, "found by a label")
        appended = await append(other, target, b"behind")
        same((appended.first, appended.incarnation), (receipt.next, receipt.incarnation), "where it goes on")


async def a_copy_remembers_the_calls_of_its_source(make: Make[Backend]) -> None:
    """A call repeated at the copy adds nothing and has the receipt of the source, also after its entries were cut."""
    async with make() as backend:
        source, target = unique("source"), unique("target")
        first = await _eventful(backend, source)
        await backend.commit(target, Change(origin=await _origin(backend, source)))
        there, here = await backend.remembered(source), await backend.remembered(target)
        same({op_id: here.get(op_id) for op_id in there}, there, "the calls that entries do not tell")
        for op_id, receipt in first.items():
            count = receipt.next - receipt.first
            again = await backend.commit(target, Change([b"again"] * count, op_id=op_id))
            same(again, receipt._replace(repeated=True), f"the receipt of {op_id!r}")
        await _same(backend, source, target)


async def calls_are_those_that_no_entry_tells(make: Make[Backend]) -> None:
    """The calls of a stream are those whose entries are gone or never were; a whole call is told by its entries."""
    async with make() as backend:
        stream = unique()
        same(await backend.remembered(stream), {}, "calls of an unknown stream")
        first = await _eventful(backend, stream)
        wanted = {op_id: first[op_id] for op_id in ("dropped", "part", "cut", "no entries")}
        found = await backend.remembered(stream)
        same({op_id: found[op_id] for op_id in first if op_id in found}, wanted, "calls")


async def a_copy_comes_in_parts(make: Make[Backend]) -> None:
    """An origin continues a copy of the same incarnation, part by part, and after a cut."""
    async with make() as backend:
        source, target = unique("source"), unique("target")
        await _eventful(backend, source)
        whole = await _origin(backend, source)
        for stop in range(1, len(whole.entries) + 1):
            await backend.commit(target, Change(origin=_part(whole, stop - 1, stop), expect=_next(whole, stop - 1)))
            same(len((await backend.read(target, _WHOLE)).entries), stop, "entries so far")
        await backend.commit(target, Change(origin=whole._replace(entries=())))
        await _same(backend, source, target)
        last = whole.entries[-1].position
        await backend.commit(source, Change([b"other"], cut_from=last, drop_before=whole.head.first + 1))
        whole = await _origin(backend, source)
        await backend.commit(target, Change(origin=whole._replace(entries=whole.entries[-1:]), cut_from=last))
        await _same(backend, source, target)


async def a_copy_never_mixes_with_another_stream(make: Make[Backend]) -> None:
    """An origin for a stream that lives with another incarnation, or with other entries, is refused whole."""
    async with make() as backend:
        source, target = unique("source"), unique("target")
        await append(backend, source, *numbered(3))
        origin = await _origin(backend, source)
        await append(backend, target, b"mine")
        await raises(ConflictError, backend.commit(target, Change(origin=origin)), "over another stream")
        same(await stored(backend, target), [b"mine"], "what lives there")
        await backend.commit(target, Change(origin=origin, delete=True))
        await _same(backend, source, target)
        await raises(ConflictError, backend.commit(target, Change(origin=origin)), "over its own entries")
        await raises(ConflictError, backend.commit(target, Change(origin=origin, delete=True, expect=0)), "a condition")
        await _same(backend, source, target)


async def an_origin_outside_its_bounds_is_refused(make: Make[Backend]) -> None:
    """An origin whose positions or times go back, or beside other additions, is an InvalidError: nothing is stored."""
    async with make() as backend:
        target, now = unique(), int(time.time() * 1_000_000)
        source = unique("source")
        await append(backend, source, *numbered(2))
        origin = await _origin(backend, source)
        one, two = origin.entries
        for subject, change in (
            ("entries that descend", Change(origin=origin._replace(entries=(two, one)))),
            ("one position twice", Change(origin=origin._replace(entries=(one, one)))),
            ("an entry behind the end", Change(origin=origin._replace(entries=(one, Entry(2, b"", now, None))))),
            ("a time that goes back", Change(origin=origin._replace(entries=(one, Entry(1, b"", 0, None))))),
            ("a text", Change(origin=origin._replace(entries=(Entry(0, "text", one.created_at, None),)))),  # type: ignore[arg-type]
            ("entries beside it", Change([b"x"], origin=origin)),
            ("labels beside it", Change(labels={}, origin=origin)),
        ):
            await raises(InvalidError, backend.commit(target, change), subject)
        same(await backend.heads([target]), [None], "what was stored")


async def a_copied_blob_lives_as_long_as_its_entry(make: Make[Backend]) -> None:
    """A blob that is committed with an origin is linked to the entries of this part alone."""
    async with make() as backend:
        source, target = unique("source"), unique("target")
        await append(backend, source, b"0", b"1")
        whole = await _origin(backend, source)
        blob = await backend.write_blob(target, _chunks(b"content"))
        await backend.commit(target, Change(origin=_part(whole, 0, 1), blobs=(blob,)))
        await backend.commit(target, Change(origin=_part(whole, 1, 2)))
        same(b"".join([piece async for piece in backend.read_blob(target, blob)]), b"content", "the blob")
        await backend.commit(target, Change(drop_before=1))
        await raises(NotFoundError, anext(backend.read_blob(target, blob)), "after its entry was dropped")


async def _eventful(backend: Backend, stream: str) -> dict[str, Receipt]:
    """Make a stream with a dropped front, a gap, a cut end, a note and calls of every kind. Return their receipts."""
    now = await backend.now()
    commit, receipts = backend.commit, {}
    receipts["dropped"] = await commit(stream, Change(numbered(2), op_id="dropped"))
    await append(backend, stream, b"kept", b"popped")
    await commit(stream, Change(cut_from=3, drop_before=2))
    receipts["part"] = await commit(stream, Change(numbered(3), op_id="part"))
    await commit(stream, Change(cut_from=6))
    receipts["whole"] = await commit(stream, Change(numbered(2), op_id="whole"))
    receipts["no entries"] = await commit(stream, Change(op_id="no entries", labels={"k": "v"}, note=b"note", base=4))
    receipts["one"] = await commit(stream, Change([b"x" * 1_000], op_id="one", expires_at=now + _HOUR))
    receipts["cut"] = await commit(stream, Change(numbered(1), op_id="cut"))
    await commit(stream, Change(cut_from=receipts["cut"].first))
    return receipts


async def _origin(backend: Backend, stream: str) -> Origin:
    head, entries = await backend.read(stream, _WHOLE)
    assert head is not None
    return Origin(head, tuple(entries), await backend.remembered(stream))


def _part(whole: Origin, start: int, stop: int) -> Origin:
    return whole._replace(head=whole.head._replace(next=_next(whole, stop)), entries=whole.entries[start:stop])


def _next(whole: Origin, count: int) -> int:
    return whole.entries[count - 1].position + 1 if count else 0


async def _same(backend: Backend, source: str, target: str) -> None:
    one, two = await backend.read(source, _WHOLE), await backend.read(target, _WHOLE)
    same(two.entries, one.entries, "the entries of the copy")
    same(_bare(two.head), _bare(one.head), "the head of the copy")
    bases = [[entry.position for entry in (await backend.read(name)).entries] for name in (source, target)]
    same(bases[1], bases[0], "the positions from the base on")
    holds(await backend.heads([source, target]) == [one.head, two.head], "heads as reads show them")


def _bare(head: Head | None) -> Head | None:
    return head and head._replace(name="")


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


CLAUSES: Final = clauses(__name__)
