"""Clauses of reads: the window of a stream, and its one moment."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Query, Slice, Window
from stowfast.testing.clause import append, clauses, holds, numbered, positions, same, stored, unique

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.testing.clause import Make

ROUNDS: Final = 10
RACERS: Final = 16


async def a_batch_is_seen_whole_or_not_at_all(make: Make[Backend]) -> None:
    """A read returns all entries of a commit or none, and the head of the same moment."""
    async with make() as writer, make() as reader:
        stream, batch = unique(), 25
        done = asyncio.Event()

        async def write() -> None:
            for _ in range(ROUNDS):
                await append(writer, stream, *numbered(batch))
            done.set()

        writing = asyncio.create_task(write())
        try:
            for _ in range(10_000):
                head, entries = await reader.read(stream)
                same(len(entries) % batch, 0, "entries of a half-seen batch")
                same(head.next if head else 0, len(entries), "the head's next and the entries of one moment")
                if done.is_set():
                    break
                await asyncio.sleep(0)
        finally:
            await writing


async def a_stream_that_is_not_there_reads_as_empty(make: Make[Backend]) -> None:
    """An unknown stream has no head and no entries. Reading it does not begin it."""
    async with make() as backend:
        stream = unique()
        for _ in range(2):
            same(await backend.read(stream, Window(limit=3, newest=True)), Slice(None, []), "an unknown stream")
            same(await backend.heads([stream]), [None], "the head of an unknown stream")
        same((await backend.streams(Query(stream))).streams, [], "the listing of an unknown stream")


async def a_read_takes_its_window(make: Make[Backend]) -> None:
    """A read returns at most `limit` entries at `start <= position < stop`, from the front or from the end."""
    async with make() as backend:
        stream = unique()
        await append(backend, stream, *numbered(7))
        windows = product((None, 0, 2, 7, 99), (None, 0, 2, 5, 99), (None, 0, 1, 3, 99), (False, True))
        for start, stop, limit, newest in windows:
            window: list[int] = list(range(7))[start:stop]
            if limit is not None:
                window = window[max(0, len(window) - limit) :] if newest else window[:limit]
            head, entries = await backend.read(stream, Window(start=start, stop=stop, limit=limit, newest=newest))
            asked = f"read(start={start}, stop={stop}, limit={limit}, newest={newest})"
            same([entry.position for entry in entries], window, asked)
            same(head and head.next, 7, f"the head of {asked}")


async def a_read_without_a_start_begins_at_the_base(make: Make[Backend]) -> None:
    """A read without a start begins at `base`, from either end. The entries below it can still be read."""
    stream = unique()
    async with make() as backend:
        await append(backend, stream, *numbered(6))
        await backend.commit(stream, Change([b"6"], base=4, note=b"stands for four"))
        await append(backend, stream, b"7")
    async with make() as backend:
        cases: tuple[tuple[dict[str, Any], list[int]], ...] = (
            ({}, [4, 5, 6, 7]),
            ({"limit": 2}, [4, 5]),
            ({"limit": 99, "newest": True}, [4, 5, 6, 7]),
            ({"stop": 5}, [4]),
            ({"stop": 3}, []),
            ({"start": 0}, list(range(8))),
            ({"start": 3, "limit": 2}, [3, 4]),
            ({"start": 0, "limit": 6, "newest": True}, [2, 3, 4, 5, 6, 7]),
        )
        for asked, wanted in cases:
            head, entries = await backend.read(stream, Window(**asked))
            same([entry.position for entry in entries], wanted, f"read with {asked} and base 4")
            same(head and (head.base, head.first, head.length), (4, 0, 8), "base, first and length")
        await backend.commit(stream, Change(base=0))
        same(await positions(backend, stream), list(range(8)), "positions after the base went back")


async def a_read_ends_with_the_entry_that_fills_it(make: Make[Backend]) -> None:
    """A read ends with the entry that reaches `max_bytes`, so it returns at least one, of any size."""
    async with make() as backend:
        stream = unique()
        await append(backend, stream, b"aaaa", b"bb", b"", b"ccc", b"d" * 5_000)
        cases: tuple[tuple[dict[str, Any], list[int]], ...] = (
            ({"max_bytes": 1}, [0]),
            ({"max_bytes": 4}, [0]),
            ({"max_bytes": 5}, [0, 1]),
            ({"max_bytes": 7}, [0, 1, 2, 3]),
            ({"max_bytes": 10_000}, [0, 1, 2, 3, 4]),
            ({"max_bytes": 1, "start": 4}, [4]),
            ({"max_bytes": 7, "limit": 2}, [0, 1]),
            ({"max_bytes": 10, "newest": True}, [4]),
            ({"max_bytes": 5_001, "newest": True}, [3, 4]),
            ({"max_bytes": 3, "newest": True, "stop": 4}, [3]),
            ({"max_bytes": 4, "newest": True, "stop": 4}, [1, 2, 3]),
        )
        for asked, wanted in cases:
            entries = (await backend.read(stream, Window(**asked))).entries
            same([entry.position for entry in entries], wanted, f"read with {asked}")


async def a_read_after_another_is_of_a_moment_since(make: Make[Backend]) -> None:
    """With `seen`, the head of an earlier read, a read answers as of that head or of a later one, never of another."""
    async with make() as backend, make() as other:
        stream = unique()
        await append(backend, stream, *numbered(6))
        head, entries = await backend.read(stream)
        later = [(head, entries)]
        for change in (None, Change([b"6"]), Change(drop_before=3), Change(delete=True), Change([b"anew"])):
            if change is not None:
                await other.commit(stream, change)
                later.append(await other.read(stream))
            found = await backend.read(stream, Window(seen=head))
            holds(found in later, f"a read after another, as of {found.head}, is of no moment since")
            found = await other.read(stream, Window(start=1, limit=1, seen=head))
            wanted = [Slice(one, [entry for entry in all_ if entry.position >= 1][:1]) for one, all_ in later]
            holds(found in wanted, f"an entry after another read, as of {found.head}, is of no moment since")


async def cold_entries_are_entries(make: Make[Backend]) -> None:
    """`cold` has no visible effect: such entries come back as given, in order, among others."""
    stream, sizes = unique(), (0, 1, 700, 5_000, 20_000, 300_000)
    given = [b"%d|" % number + b"x" * sizes[number % len(sizes)] for number in range(48)]
    async with make() as backend:
        for number, entry in enumerate(given):
            change = Change([entry], f"op-{number}", expect=number, cold=number % 16 < 12)
            same((await backend.commit(stream, change)).next, number + 1, "the position that comes next")
        same(await stored(backend, stream), given, "cold entries, as they were added")
    async with make() as backend:
        same(await stored(backend, stream), given, "cold entries, later")
        receipt = await backend.commit(stream, Change([given[3]], "op-3", expect=3, cold=True))
        same((receipt.repeated, receipt.first), (True, 3), "a repeat of a cold one")
        await backend.commit(stream, Change(drop_before=20, cut_from=40, cold=True))
        same(await stored(backend, stream), given[20:40], "what a drop and a cut have left")


CLAUSES = clauses(__name__)
