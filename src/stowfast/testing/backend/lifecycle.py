"""Clauses of the backend as a whole: waits, cancelled calls, closing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Query
from stowfast.errors import InvalidError
from stowfast.testing.clause import append, clauses, either, holds, numbered, raises, same, stored, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from stowfast.abc import Backend, Receipt
    from stowfast.testing.clause import Make

PATIENCE: Final = 20.0
"""Seconds until a change is counted as missed."""

_MINUTE: Final = 60_000_000


async def a_wait_ends_at_once_where_there_is_news(make: Make[Backend]) -> None:
    """A wait returns True at once if the stream already has another incarnation or next position."""
    async with make() as backend:
        stream = unique()
        await append(backend, stream, b"0")
        old = await append(backend, stream, b"1")
        for incarnation, following in ((None, 0), (old.incarnation, 1), (old.incarnation, 3), ("another", 2)):
            await _true(
                backend.wait(stream, incarnation=incarnation, next=following, timeout=60), "a wait for the past"
            )
        await backend.commit(stream, Change(delete=True))
        await _true(backend.wait(stream, incarnation=old.incarnation, next=2, timeout=60), "a wait after a delete")
        new = await append(backend, stream, b"0", b"1")
        await _true(backend.wait(stream, incarnation=old.incarnation, next=2, timeout=60), "a wait in the next life")
        holds(new.next == 2, "the next life is as long as the last was")


async def a_wait_without_news_ends_with_its_time(make: Make[Backend]) -> None:
    """A wait returns False after its timeout if the stream has the same incarnation and next position."""
    async with make() as backend, make() as other:
        begun, never = unique(), unique()
        receipt = await append(backend, begun, b"0")
        for timeout in (0.0, 0.01):
            same(await backend.wait(never, incarnation=None, next=0, timeout=timeout), False, "a wait for a beginning")
            wait = backend.wait(begun, incarnation=receipt.incarnation, next=1, timeout=timeout)
            same(await wait, False, "a wait for an append")
        for opening in (backend, other):
            wait = backend.wait(begun, incarnation=receipt.incarnation, next=1, timeout=0.1)
            found, *_ = await asyncio.gather(
                wait, opening.commit(begun, Change(labels={"k": "v"})), append(opening, never, b"elsewhere")
            )
            same(found, False, "a wait while only labels and another stream changed")


async def a_wait_ends_with_a_commit_through_any_opening(make: Make[Backend]) -> None:
    """A wait misses no beginning and no append made before or during it, through any opening."""
    async with make() as backend, make() as other:
        for opening in (backend, other):
            stream, incarnation = unique(), None
            for number in range(15):
                change = Change([b"%d" % number])
                receipt = await _news(backend, opening, stream, incarnation, number, change, turns=number % 5)
                incarnation = receipt.incarnation


async def a_wait_ends_with_a_delete(make: Make[Backend]) -> None:
    """A delete ends a wait, also if the next incarnation is as long as the last."""
    async with make() as backend, make() as other:
        for opening in (backend, other):
            stream = unique()
            for turns in range(5):
                begun = await append(backend, stream, b"0")
                await _news(backend, opening, stream, begun.incarnation, 1, Change(delete=True), turns=turns)
                begun = await append(backend, stream, b"0")
                again = Change([b"0"], delete=True)
                again_at = await _news(backend, opening, stream, begun.incarnation, 1, again, turns=turns)
                same(again_at.next, 1, "the length of the next life")
                await backend.commit(stream, Change(delete=True))


async def news_is_for_everyone_who_waits(make: Make[Backend]) -> None:
    """One commit ends all waits, through every opening. A cancelled wait harms no other."""
    async with make() as one, make() as other:
        stream = unique()
        waits = [
            asyncio.create_task((one, other)[waiter % 2].wait(stream, incarnation=None, next=0, timeout=60))
            for waiter in range(20)
        ]
        for _ in range(10):
            await asyncio.sleep(0)
        for cancelled in waits[:4]:
            cancelled.cancel()
        await append(one, stream, b"0")
        await asyncio.wait(waits, timeout=PATIENCE)
        holds(all(wait.done() for wait in waits), f"one commit ends all waits within {PATIENCE:g} s")
        same([wait.result() for wait in waits[4:]], [True] * 16, "what those who waited are told")


async def a_cancelled_commit_is_done_or_not(make: Make[Backend]) -> None:
    """A cancelled commit is wholly done or not done, and the backend works as before."""
    async with make() as backend:
        for turns in range(20):
            stream = unique()
            change = Change(numbered(3), op_id="op", labels={"k": "v"})
            commit = asyncio.create_task(backend.commit(stream, change))
            for _ in range(turns):
                await asyncio.sleep(0)
            commit.cancel()
            await asyncio.wait([commit], timeout=PATIENCE)
            holds(commit.done(), "a cancelled commit ends")
            await append(backend, stream, b"next")
            entries = await stored(backend, stream)
            holds(entries in ([b"next"], [*numbered(3), b"next"]), f"all or nothing of a cancelled commit: {entries}")
            if commit.cancelled():
                await backend.commit(stream, change)
            same(sorted(await stored(backend, stream)), [*numbered(3), b"next"], "entries after the call was repeated")


async def closing_twice_is_closing_once(make: Make[Backend]) -> None:
    """A closed backend can be closed again. Its other openings go on."""
    stream = unique()
    async with make() as going_on:
        async with make() as backend:
            await append(backend, stream, b"0")
            await backend.close()
            await backend.close()
        same(await stored(going_on, stream), [b"0"], "entries seen through the opening that goes on")
        await append(going_on, stream, b"1")
    async with make() as backend:
        same(await stored(backend, stream), [b"0", b"1"], "entries after all were closed")


async def a_closed_place_gives_no_answer(make: Make[Backend]) -> None:
    """After `close` every method raises InvalidError at once, and nothing is stored. To repeat it would not help."""
    stream = unique()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    async with make() as backend:
        blob = await backend.write_blob(stream, chunks())
        await backend.commit(stream, Change([b"0"], blobs=(blob,)))
        await backend.close()

        async def read_blob() -> list[bytes]:
            return [chunk async for chunk in backend.read_blob(stream, blob)]

        calls: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "commit": lambda: append(backend, stream, b"x"),
            "read": lambda: backend.read(stream),
            "heads": lambda: backend.heads([stream]),
            "streams": lambda: backend.streams(Query(stream)),
            "wait": lambda: backend.wait(stream, incarnation=None, next=0, timeout=0),
            "write_blob": lambda: backend.write_blob(stream, chunks()),
            "read_blob": read_blob,
            "sweep": backend.sweep,
        }
        for name, call in calls.items():
            async with asyncio.timeout(PATIENCE):
                await raises(InvalidError, call(), f"{name} after close")
    async with make() as backend:
        same(await stored(backend, stream), [b"0"], "entries after a commit to a closed backend")


async def closing_finishes_what_is_under_way(make: Make[Backend]) -> None:
    """A commit that races a close is acknowledged and stored, or an InvalidError. Each gets an answer."""
    for turns in range(6):
        stream = unique()
        async with make() as backend:
            commits = [asyncio.create_task(either(append(backend, stream, b"x"), InvalidError)) for _ in range(20)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await backend.close()
            await asyncio.wait(commits, timeout=PATIENCE)
            holds(all(commit.done() for commit in commits), "every commit that races a close has an answer")
        results = [commit.result() for commit in commits]
        acknowledged = {result.first for result in results if not isinstance(result, InvalidError)}
        async with make() as backend:
            found = {entry.position for entry in (await backend.read(stream)).entries}
            holds(acknowledged <= found, f"{len(acknowledged - found)} acknowledged commits are not there")


async def the_time_is_told(make: Make[Backend]) -> None:
    """`now` returns the time of the backend's clock, in microseconds since 1970, about the same in every opening."""
    async with make() as backend, make() as other:
        began = time.monotonic_ns() // 1_000
        first, there = await backend.now(), await other.now()
        holds(_MINUTE * 60 * 24 * 365 * 50 < first < _MINUTE * 60 * 24 * 365 * 500, "a time between 2020 and 2470")
        last = await backend.now()
        passed = time.monotonic_ns() // 1_000 - began
        holds(abs(last - first) <= passed + _MINUTE // 12, "it goes on as time does")
        holds(abs(there - first) <= passed + _MINUTE // 12, "it is the same through another opening")


async def _true(wait: Coroutine[Any, Any, bool], subject: str) -> None:
    try:
        same(await asyncio.wait_for(wait, PATIENCE), True, subject)
    except TimeoutError:
        raise AssertionError(f"{subject}: did not end within {PATIENCE:g} s") from None


async def _news(
    backend: Backend,
    writer: Backend,
    stream: str,
    incarnation: str | None,
    following: int,
    change: Change,
    *,
    turns: int,
) -> Receipt:
    """Wait through one opening, commit through another after some turns of the loop, and hold the wait to it."""
    wait = asyncio.create_task(backend.wait(stream, incarnation=incarnation, next=following, timeout=60))
    for _ in range(turns):
        await asyncio.sleep(0)
    receipt = await writer.commit(stream, change)
    await asyncio.wait([wait], timeout=PATIENCE)
    holds(wait.done(), f"a wait ends within {PATIENCE:g} s of a commit")
    same(wait.result(), True, "a wait with news")
    return receipt


CLAUSES = clauses(__name__)
