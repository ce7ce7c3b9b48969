"""Clauses of many changes and many reads in one call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from stowfast.abc import ALL, Change, Receipt, Slice, Window
from stowfast.errors import ConflictError, InvalidError
from stowfast.testing.clause import append, clauses, holds, same, stored, unique

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.testing.clause import Make


async def many_changes_are_made_each_by_itself(make: Make[Backend]) -> None:
    """`commit_many` returns a receipt or an error for each change, in order; an error of one stops no other."""
    async with make() as backend:
        one, other = unique(), unique()
        await append(backend, other, b"there")
        wrong: Any = [7]
        found = await backend.commit_many(
            [
                (one, Change([b"0"], op_id="first")),
                (other, Change([b"refused"], expect=0)),
                (one, Change(wrong)),
                (one, Change([b"1", b"2"], expect=1)),
                ("", Change([b"x"])),
                (other, Change([b"1"], expect=1)),
                (one, Change([b"0"], op_id="first")),
            ]
        )
        kinds = [Receipt, ConflictError, InvalidError, Receipt, InvalidError, Receipt, Receipt]
        same([type(outcome) for outcome in found], kinds, "outcomes")
        receipts = [outcome for outcome in found if isinstance(outcome, Receipt)]
        same([receipt[1:3] for receipt in receipts], [(0, 1), (1, 3), (1, 2), (0, 1)], "positions")
        same([receipt.repeated for receipt in receipts], [False, False, False, True], "`repeated`")
        same(await stored(backend, one), [b"0", b"1", b"2"], "entries of one stream")
        same(await stored(backend, other), [b"there", b"1"], "entries of the other")
        same(await backend.commit_many([]), [], "no changes")


async def many_racing_calls_lose_nothing(make: Make[Backend]) -> None:
    """Concurrent calls of `commit_many` and `commit` to the same streams are all kept, each caller's in order."""
    async with make() as one, make() as other:
        streams = [unique() for _ in range(3)]

        async def write(number: int) -> None:
            backend = (one, other)[number % 2]
            changes = [(stream, Change([b"%d %d" % (number, turn)])) for turn in range(4) for stream in streams]
            if number % 3:
                outcomes = await backend.commit_many(changes)
                holds(all(isinstance(outcome, Receipt) for outcome in outcomes), "every change has a receipt")
            else:
                for stream, change in changes:
                    await backend.commit(stream, change)

        await asyncio.gather(*(write(number) for number in range(6)))
        for stream in streams:
            entries = [tuple(map(int, entry.split())) for entry in await stored(one, stream)]
            same(sorted(entries), [(number, turn) for number in range(6) for turn in range(4)], "entries")
            for number in range(6):
                same([turn for writer, turn in entries if writer == number], [0, 1, 2, 3], "one writer's order")


async def many_reads_are_each_as_alone(make: Make[Backend]) -> None:
    """`read_many` returns for each stream and window the same as `read`, in order, also twice and of no stream."""
    async with make() as backend:
        streams = [unique() for _ in range(40)]
        for number, stream in enumerate(streams):
            await backend.commit(stream, Change([b"%d" % entry for entry in range(number % 5)], labels={"k": "v"}))
        windows = (ALL, Window(limit=1), Window(limit=2, newest=True), Window(start=2), Window(max_bytes=1))
        reads = [(stream, windows[number % 5]) for number, stream in enumerate(streams)]
        reads += [(streams[4], ALL), (unique(), ALL)]
        found = await backend.read_many(reads)
        same(found, [await backend.read(stream, window) for stream, window in reads], "slices")
        same(found[-1], Slice(None, []), "a stream that is not there")
        same(await backend.read_many([]), [], "no reads")


CLAUSES = clauses(__name__)
