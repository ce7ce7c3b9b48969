"""Checks of the backend in memory alone, with a clock of the check: for mutants beyond the reach of clauses."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from stowfast.abc import Change, Entry, Origin, Query, Swept, Window
from stowfast.errors import ConflictError, DamagedError, InvalidError
from stowfast.names import MAX_MOMENT, MIN_MOMENT
from stowfast.testing.clause import holds, raises, same, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stowfast.backends.memory import MemoryBackend
    from stowfast.testing import Make

SECOND = 1_000_000
DAY = 86_400 * SECOND
LARGEST = 2**62


@contextmanager
def clock_at(backend: MemoryBackend, now: int) -> Iterator[None]:
    """Set the clock that the module of this backend reads, in microseconds."""
    module = inspect.unwrap(type(backend).commit).__globals__
    before, module["clock"] = module["clock"], lambda: now
    try:
        yield
    finally:
        module["clock"] = before


async def body() -> AsyncIterator[bytes]:
    yield b"12345"


async def values_outside_their_type_or_bounds_are_refused(make: Make[MemoryBackend]) -> None:
    wrong: list[dict[str, Any]] = [
        {"expect": "0"}, {"expect": -LARGEST - 1}, {"revision": LARGEST + 1}, {"expires_at": 1.5},
        {"note": "text"}, {"labels": {"k": "\ud800"}}, {"labels": {"k": 1}}, {"blobs": ("",)},
    ]  # fmt: skip
    async with make() as backend:
        for fields in wrong:
            await raises(InvalidError, backend.commit(unique(), Change([b"x"], **fields)), str(fields))
        await raises(InvalidError, backend.commit(7, Change([b"x"])), "a name that is a number")  # type: ignore[arg-type]
        for order in ("name", "recent"):
            query = Query("", order=order, after=7)  # type: ignore[arg-type]
            await raises(InvalidError, backend.streams(query), "a cursor that is a number")
        stream = unique()
        for moment in (MIN_MOMENT - 1, MAX_MOMENT + 1):
            await raises(InvalidError, backend.commit(stream, Change([b"x"], expires_at=moment)), str(moment))
        for number in (LARGEST, -LARGEST):
            call = backend.commit(stream, Change([b"x"], expect=number))
            await raises(ConflictError, call, "a number at its bound, which no stream has")
        await backend.commit(stream, Change([b"x"], expires_at=MIN_MOMENT))
        await backend.commit(stream, Change([b"x"], expires_at=MAX_MOMENT))
        await backend.commit(stream, Change([b"x"], base=LARGEST))
        same((await backend.heads([stream]))[0].base, LARGEST, "the largest base")  # type: ignore[union-attr]


async def an_origin_outside_its_bounds_is_refused(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        source = unique("source")
        await backend.commit(source, Change([b"0", b"1", b"2"]))
        await backend.commit(source, Change(drop_before=1))
        head, entries = await backend.read(source, Window(start=0))
        assert head is not None
        origin = Origin(head, tuple(entries))
        receipt = await backend.commit(unique(), Change(origin=origin))
        same((receipt.first, receipt.next), (1, 3), "the receipt")
        wrong: list[dict[str, Any]] = [
            {"incarnation": ""}, {"labels": {"k": 1}}, {"note": "text"}, {"first": -1}, {"first": 4}, {"revision": -1},
            {"next": LARGEST + 1}, {"revision": LARGEST + 1}, {"base": LARGEST + 1}, {"base": -LARGEST - 1},
            {"created_at": MIN_MOMENT - 1}, {"updated_at": MAX_MOMENT + 1}, {"expires_at": MAX_MOMENT + 1},
            {"next": 2}, {"next": 1},
        ]  # fmt: skip
        for fields in wrong:
            call = backend.commit(unique(), Change(origin=origin._replace(head=head._replace(**fields))))
            await raises(InvalidError, call, str(fields))
        empty = Origin(head._replace(first=3))
        for first in (4, -1):
            call = backend.commit(unique(), Change(origin=empty._replace(head=head._replace(first=first))))
            await raises(InvalidError, call, f"without entries, from {first}")
        before = (Entry(0, b"", head.created_at, None), *entries)
        await raises(InvalidError, backend.commit(unique(), Change(origin=Origin(head, before))), "an entry below")
        early = (Entry(1, b"", MIN_MOMENT - 1, None), *entries[1:])
        await raises(InvalidError, backend.commit(unique(), Change(origin=Origin(head, early))), "an early entry")
        named = (Entry(1, b"", entries[0].created_at, ""), *entries[1:])
        await raises(InvalidError, backend.commit(unique(), Change(origin=Origin(head, named))), "an empty op_id")
        called = Change(origin=origin._replace(calls={"": receipt}))
        await raises(InvalidError, backend.commit(unique(), called), "an empty op_id of a call")
        right: list[dict[str, Any]] = [
            {"next": LARGEST}, {"revision": LARGEST}, {"base": LARGEST}, {"base": -LARGEST}, {"created_at": MIN_MOMENT},
            {"updated_at": MAX_MOMENT}, {"expires_at": MAX_MOMENT}, {"created_at": head.updated_at + 1},
            {"revision": 0}, {"first": 0},
        ]  # fmt: skip
        for fields in right:
            await backend.commit(unique(), Change(origin=origin._replace(head=head._replace(**fields))))
        other = unique()
        await backend.commit(other, Change([b"mine"]))
        await raises(ConflictError, backend.commit(other, Change(origin=origin)), "behind another stream")


async def each_change_of_many_has_its_refusal(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        refusals = inspect.unwrap(type(backend).commit).__globals__["apply"].__globals__["refusals"]
        good, bad = ("s", Change([b"x"])), ("s", Change([b"x"], expect=LARGEST + 1))
        found = refusals([good, ("", Change([b"x"])), bad, good])
        same([type(one) for one in found], [type(None), InvalidError, InvalidError, type(None)], "refusals")


async def entries_of_a_read_are_those_of_the_head(make: Make[MemoryBackend]) -> None:
    """Each window of a stream passes the check as it is read, and fails it with an entry less, more, or elsewhere."""
    async with make() as backend:
        check_entries = inspect.unwrap(type(backend).commit).__globals__["apply"].__globals__["check_entries"]
        dense, gaps = unique(), unique()
        await backend.commit(dense, Change([b"x"] * 9))
        await backend.commit(dense, Change([b"x"], drop_before=2, base=4))
        await backend.commit(gaps, Change([b"x"] * 4))
        await backend.commit(gaps, Change([b"x"] * 4, cut_from=2))
        edges = (None, 0, 2, 3, 5, 10, 11)
        limits = ((None, None), (0, None), (1, None), (2, None), (99, None), (None, 0), (None, 1), (None, 2), (3, 2))
        for stream, start, stop, newest, (limit, size) in product((dense, gaps), edges, edges, (False, True), limits):
            window = Window(start, stop, limit, newest, size)
            head, entries = await backend.read(stream, window)
            assert head is not None
            check_entries(head, window, entries)
            whole = (start or 0) <= 0 and (stop is None or stop >= head.next) and size is None
            if stream == dense or whole:
                wrong = [entries[1:], [*entries, *entries[-1:]]] if entries else [[Entry(3, b"x", 0, None)]]
                if stream == dense and entries:
                    wrong += [[replace(one, position=one.position + step) for one in entries] for step in (-1, 1)]
                    wrong.append([*entries[:-1], replace(entries[-1], position=entries[-1].position + 1)])
                for others in wrong:
                    await raises(DamagedError, called(check_entries, head, window, others), f"{window}: {others}")


async def called(function: Any, *args: Any) -> None:
    function(*args)


async def time_stands_while_the_clock_is_behind(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        stream = unique()
        with clock_at(backend, 10 * SECOND):
            await backend.commit(stream, Change([b"0"]))
        with clock_at(backend, 5 * SECOND):
            for change in (Change([b"1"]), Change(labels={"k": "v"})):
                same((await backend.commit(stream, change)).committed_at, 10 * SECOND, "the time of a commit")


async def a_stream_is_gone_at_its_moment(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        stream = unique()
        with clock_at(backend, 10):
            await backend.commit(stream, Change([b"0"], expires_at=20))
        for now, there in ((19, True), (20, False)):
            with clock_at(backend, now):
                same((await backend.heads([stream]))[0] is not None, there, f"the head at {now}")


async def a_sweep_counts_and_deletes_all_garbage(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        stream, expired = unique(), unique()
        with clock_at(backend, SECOND):
            await backend.sweep()
            linked = await backend.write_blob(stream, body())
            await backend.commit(stream, Change([b"kept"], blobs=(linked,)))
            await backend.write_blob(stream, body())
            await backend.commit(expired, Change([b"123"], expires_at=2 * SECOND))
        with clock_at(backend, SECOND + DAY):
            same(await backend.sweep(dry_run=True), Swept(1, 0, 3), "a blob that is a day old stays")
        with clock_at(backend, SECOND + DAY + 1):
            same(await backend.sweep(dry_run=True), Swept(1, 1, 8), "garbage of an older blob and a stream")
            same(await backend.sweep(), Swept(1, 1, 8), "the same, deleted")
            same(await backend.sweep(), Swept(0, 0, 0), "nothing is left to delete")


async def a_full_last_page_is_the_end(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        prefix = unique()
        for number in range(2):
            await backend.commit(f"{prefix}{number}", Change([b"x"]))
        for prefix_of, length in ((prefix, 2), (unique(), 0)):
            listing = await backend.streams(Query(prefix=prefix_of, limit=2))
            same((len(listing[0]), listing[1]), (length, None), "the only page, and the cursor behind it")


async def a_closed_backend_refuses_every_call(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        waiting = asyncio.create_task(backend.wait("s", incarnation=None, next=0, timeout=20))
        await asyncio.sleep(0)
        await backend.close()
        async with asyncio.timeout(2):
            await raises(InvalidError, waiting, "a wait that is under way")
        for call in (backend.streams(Query("")), backend.sweep(), backend.heads(["s"]), backend.remembered("s")):
            await raises(InvalidError, call, "a call after closing")


async def a_wait_lasts_its_time(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        began, worked = time.monotonic(), time.process_time()
        same(await backend.wait(unique(), incarnation=None, next=0, timeout=0.1), False, "a wait without news")
        holds(time.monotonic() - began >= 0.09, "a wait lasts as long as it was told")
        holds(time.process_time() - worked < 0.5, "a wait needs no processor")


async def it_opens_by_its_one_url(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        kind = type(backend)
        same(type(await kind.open("memory:")), kind, "the type that opens")
        same(kind.in_place, True, "`in_place`")
        await raises(InvalidError, kind.open("memory:name"), "a URL with a name")


async def the_bytes_of_blobs_are_counted(make: Make[MemoryBackend]) -> None:
    async with make() as backend:
        stream = unique()
        blob = await backend.write_blob(stream, body())
        await backend.commit(stream, Change([b"x"], blobs=(blob,)))
        before = backend.counts.stats()
        same(before.bytes_written, len(b"12345") + len(b"x"), "`bytes_written`")
        async for _ in backend.read_blob(stream, blob):
            pass
        same(backend.counts.stats().bytes_read - before.bytes_read, len(b"12345"), "`bytes_read`")


CHECKS = (
    values_outside_their_type_or_bounds_are_refused,
    an_origin_outside_its_bounds_is_refused,
    each_change_of_many_has_its_refusal,
    entries_of_a_read_are_those_of_the_head,
    time_stands_while_the_clock_is_behind,
    a_stream_is_gone_at_its_moment,
    a_sweep_counts_and_deletes_all_garbage,
    a_full_last_page_is_the_end,
    a_closed_backend_refuses_every_call,
    a_wait_lasts_its_time,
    it_opens_by_its_one_url,
    the_bytes_of_blobs_are_counted,
)
