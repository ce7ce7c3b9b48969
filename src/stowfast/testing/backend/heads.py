"""Clauses of the head: labels, note, counts and revision, and the conditions on them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import MAX_HEAD_BYTES, Change, Query, Slice
from stowfast.errors import ConflictError, InvalidError
from stowfast.testing.clause import append, clauses, either, holds, numbered, raises, same, stored, told, unique

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head
    from stowfast.testing.clause import Make

LONG_AGO: Final = 1
HOUR: Final = 3_600 * 1_000_000


async def labels_are_replaced_or_kept(make: Make[Backend]) -> None:
    """New labels replace all earlier labels; None keeps them."""
    stream = unique()
    async with make() as backend:
        await backend.commit(stream, Change([b"0"], labels={"a": "1", "b": "2"}))
        await append(backend, stream, b"1")
        await backend.commit(stream, Change(note=b"n"))
        same((await _head(backend, stream)).labels, {"a": "1", "b": "2"}, "labels that were kept")
    async with make() as backend:
        odd = {"b": "", "é \U0001f600": "'; DROP TABLE labels; --", 'q"\\\n': "\x7f", "": "empty key"}
        await backend.commit(stream, Change(labels=odd))
        same((await _head(backend, stream)).labels, odd, "labels that were replaced")
        await backend.commit(stream, Change(labels={}))
        same((await _head(backend, stream)).labels, {}, "labels that were removed")


async def a_note_is_replaced_or_kept(make: Make[Backend]) -> None:
    """A note is any bytes and replaces the earlier note; None keeps it."""
    stream, note = unique(), bytes(range(256))
    async with make() as backend:
        await backend.commit(stream, Change([b"0"], note=note))
        await append(backend, stream, b"1")
        await backend.commit(stream, Change(labels={"a": "1"}))
    async with make() as backend:
        same((await _head(backend, stream)).note, note, "a note that was kept")
        await backend.commit(stream, Change(note=b""))
        same((await _head(backend, stream)).note, b"", "a note that was removed")


async def a_head_alone_begins_a_stream(make: Make[Backend]) -> None:
    """Labels, a note or a moment of expiry begin a stream without entries."""
    async with make() as backend:
        for change in (Change(labels={"k": "v"}), Change(note=b"n"), Change(expires_at=_now() + HOUR)):
            stream = unique()
            await backend.commit(stream, change)
            head = await _head(backend, stream)
            same((head.name, head.first, head.next, head.length), (stream, 0, 0, 0), f"the head after {told(change)}")
            same((await append(backend, stream, b"0")).first, 0, "its first position")
            same((await _head(backend, stream)).incarnation, head.incarnation, "its incarnation")


async def a_head_over_its_bounds_is_refused(make: Make[Backend]) -> None:
    """A note, or all labels, of `MAX_HEAD_BYTES` are kept; larger ones are an InvalidError; nothing is stored."""
    async with make() as backend:
        stream, half = unique(), MAX_HEAD_BYTES // 2
        labels = {"a": "x" * (half - 1), "b": "é" * (half // 2)}
        for change in (Change([b"x"], note=bytes(MAX_HEAD_BYTES + 1)), Change([b"x"], labels=labels)):
            await raises(InvalidError, backend.commit(stream, change), "a head over its bound")
        same(await backend.read(stream), Slice(None, []), "what a refused change left")
        labels["a"] = labels["a"][:-1]
        note = b"n" * MAX_HEAD_BYTES
        await backend.commit(stream, Change([b"0"], labels=labels, note=note))
        head = await _head(backend, stream)
        same((head.labels, head.note), (labels, note), "the largest labels and the largest note")


async def a_revision_counts_all_but_plain_appends(make: Make[Backend]) -> None:
    """`revision` grows with labels, note, base, expiry, cut and drop, and not with a plain append."""
    async with make() as backend:
        stream = unique()
        await append(backend, stream, *numbered(6))
        changes = (
            Change(labels={"k": "v"}),
            Change(labels={"k": "v"}),
            Change(note=b"n"),
            Change(base=2),
            Change(expires_at=_now() + HOUR),
            Change(expires_at=None),
            Change(cut_from=5),
            Change(drop_before=1),
            Change([b"x"], note=b"m"),
        )
        for change in changes:
            before = await _head(backend, stream)
            await append(backend, stream, b"plain")
            same((await _head(backend, stream)).revision, before.revision, "revision after a plain append")
            await backend.commit(stream, change)
            after = await _head(backend, stream)
            holds(after.revision > before.revision, f"revision goes up with {told(change)}")


async def revision_0_is_that_of_a_stream_that_does_not_exist(make: Make[Backend]) -> None:
    """`revision=0` begins a stream. Any other revision of an unknown stream is a ConflictError; nothing is stored."""
    async with make() as backend:
        stream = unique()
        for wrong in (1, -1):
            change = Change([b"x"], labels={"k": "v"}, revision=wrong)
            error = await raises(ConflictError, backend.commit(stream, change), f"revision={wrong} of a new stream")
            same(error.current, 0, "`current` of the error")
            same(await backend.heads([stream]), [None], "the head after a conflict")
        for begun in ("new", "deleted"):
            await backend.commit(stream, Change([b"x"], labels={"k": "v"}, revision=0))
            same((await _head(backend, stream)).length, 1, f"length of a {begun} stream begun with revision=0")
            await backend.commit(stream, Change(delete=True))


async def a_removal_of_nothing_leaves_the_revision(make: Make[Backend]) -> None:
    """A cut at or beyond the end, and a drop of dropped positions, change neither entries nor `revision`."""
    async with make() as backend:
        stream = unique()
        await append(backend, stream, *numbered(4))
        await backend.commit(stream, Change(drop_before=1))
        before = await _head(backend, stream)
        for change in (Change(cut_from=4), Change(cut_from=99), Change(drop_before=1), Change(drop_before=0)):
            await backend.commit(stream, change)
            after = await _head(backend, stream)
            same((after.revision, after.next, after.length), (before.revision, 4, 3), f"the head after {told(change)}")


async def of_racing_changes_under_one_revision_one_wins(make: Make[Backend]) -> None:
    """Of racing label changes under the same `revision` exactly one succeeds. Appends do not disturb it."""
    async with make() as one, make() as other:
        stream = unique()
        await append(one, stream, b"0")
        for number in range(10):
            change = Change(labels={"round": str(number)}, revision=(await _head(one, stream)).revision)
            racing = (either((one, other)[racer % 2].commit(stream, change), ConflictError) for racer in range(12))
            results = await asyncio.gather(append(other, stream, b"x"), *racing)
            same(sum(isinstance(result, ConflictError) for result in results), 11, "changes that lost")
            same((await _head(other, stream)).labels, {"round": str(number)}, "labels")


async def a_condition_that_fails_stores_nothing(make: Make[Backend]) -> None:
    """A failed condition stores nothing of its change: no entry, label, note, cut, drop or delete."""
    async with make() as backend:
        stream = unique()
        await backend.commit(stream, Change(numbered(4), labels={"k": "v"}, note=b"n"))
        before = await backend.read(stream)
        much = Change([b"x"], labels={"k": "w"}, note=b"m", base=2, expires_at=LONG_AGO, drop_before=1, cut_from=3)
        conditions: tuple[dict[str, Any], ...] = ({"expect": 3}, {"revision": 99}, {"incarnation": "another"})
        for condition in conditions:
            for change in (much._replace(**condition), Change(delete=True)._replace(**condition)):
                await raises(ConflictError, backend.commit(stream, change), f"a change with {condition}")
                same(await backend.read(stream), before, f"the stream after a conflict of {condition}")
        same(
            (await backend.streams(Query(stream, where={"k": "v"}))).streams != [],
            True,
            "it is still found by its label",
        )


async def heads_come_in_the_order_asked(make: Make[Backend]) -> None:
    """`heads` returns one head for each name, in the order asked, and None for an unknown stream."""
    async with make() as backend:
        here, there, nowhere = unique(), unique(), unique()
        await append(backend, here, *numbered(1))
        await append(backend, there, *numbered(2))
        found = await backend.heads([there, nowhere, here, there])
        same([head and (head.name, head.length) for head in found], [(there, 2), None, (here, 1), (there, 2)], "heads")
        same(await backend.heads([]), [], "no heads")
        same(found[0], (await backend.read(there)).head, "the head that comes with a read")


async def what_goes_in_and_comes_out_is_a_copy(make: Make[Backend]) -> None:
    """Changing a given or returned value changes nothing stored."""
    async with make() as backend:
        stream, labels, entries = unique(), {"k": "v"}, [b"0"]
        await backend.commit(stream, Change(entries, labels=labels))
        labels["k"] = "changed"
        entries.append(b"changed")
        (await _head(backend, stream)).labels["k"] = "changed"
        head, found = await backend.read(stream)
        if head:
            head.labels["k"] = "changed"
        found.clear()
        same((await _head(backend, stream)).labels, {"k": "v"}, "labels")
        same(await stored(backend, stream), [b"0"], "entries")


async def _head(backend: Backend, stream: str) -> Head:
    head = (await backend.heads([stream]))[0]
    if head is None:
        raise AssertionError(f"{stream} is not there")
    return head


def _now() -> int:
    return time.time_ns() // 1_000


CLAUSES = clauses(__name__)
