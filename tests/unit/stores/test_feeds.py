"""Feeds in any history: commits that are seen late, time that passes, full cursors, readers that start over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowfast import Stores
from stowfast.abc import Change, Listed, Listing, Query
from stowfast.backends import memory
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import InvalidError, UnavailableError, UnsupportedError
from stowfast.names import clock
from stowfast.stores import changes
from stowfast.stores.changes import LATE, Cursor, Feed
from stowfast.stores.messages.token import token_of
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Head

SECOND = 1_000_000
NAMES = [f"messages/{letter}" for letter in "abcdefgh"]
ROOM = 3


class Late(Wrapper):
    """A backend with commits that lists show late, and with a clock of the test."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.at = 10_000 * SECOND
        self.hidden: dict[str, tuple[int, Listed | None]] = {}
        """Until when a stream is shown as it was before."""
        self.moved: set[str] = set()
        """The streams that a quiet change has moved to an earlier time, as it may in a bucket."""

    async def now(self) -> int:
        return self.at

    async def write(self, name: str, late: int, *, delete: bool) -> None:
        if name in self.hidden:
            return  # its lock is held
        before = {one.name: one for one in (await self.streams(Query("messages/", limit=99, heads=True))).streams}
        with patch.object(memory, "clock", lambda: self.at):
            await self.commit(name, Change([b"{}"], delete=delete))
        self.moved.discard(name)
        if late:
            self.hidden[name] = (self.at + late, before.get(name))

    def pass_time(self, by: int) -> None:
        self.at += by
        self.hidden = {name: kept for name, kept in self.hidden.items() if kept[0] > self.at}

    async def streams(self, query: Query) -> Listing:
        with patch.object(memory, "clock", lambda: self.at):
            streams, _ = await super().streams(query._replace(after=None, limit=99))
        found = [
            one._replace(updated_at=one.updated_at - LATE // 2 * (one.name in self.moved))
            for one in streams
            if one.name not in self.hidden
        ]
        found += [before for _, before in self.hidden.values() if before is not None]
        if query.order == "name":  # a new name between two pages moves no other one
            found = sorted((one for one in found if one.name > (query.after or "")), key=lambda one: one.name)
            return Listing(found[: query.limit], found[query.limit - 1].name if query.limit < len(found) else None)
        found.sort(key=_recency)
        start = 0 if query.after is None else int(query.after)
        after = start + query.limit
        return Listing(found[start:after], str(after) if after < len(found) else None)


def _recency(one: Listed) -> tuple[int, str]:
    return (-one.updated_at, one.name)


class Reader:
    """A reader of a feed: the states that it was told, and its cursors."""

    def __init__(self, backend: Late) -> None:
        self.stores = Stores(backend)
        self.told: dict[str, list[str | None]] = {}
        self.cursors: list[str | None] = [None]

    async def read(self, limit: int) -> bool:
        page = await self.stores.changes("messages", after=self.cursors[-1], limit=limit)
        for one in page:
            self.told.setdefault(f"messages/{one.id}", []).append(one.token)
        self.cursors.append(page.cursor)
        assert len(page) <= limit
        cursor = Feed(self.stores.backend, "messages")._parse(page.cursor)
        assert len(cursor.told) <= 8 * changes.REMEMBERED, "a cursor has no more states than it may"
        return page.more

    async def read_on(self) -> int:
        before = sum(map(len, self.told.values()))
        for _ in range(100):
            if not await self.read(2):
                return sum(map(len, self.told.values())) - before
        raise AssertionError("a feed has no end")


def steps_of(*late: int) -> list[st.SearchStrategy[tuple[Any, ...]]]:
    return [
        st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from((0, 0, 0, *late)), st.booleans()),
        st.tuples(st.just("time"), st.sampled_from((0, 1, SECOND, LATE // 3, LATE, LATE + 1, 5 * LATE))),
        st.tuples(st.just("read"), st.integers(1, 4)),
        st.tuples(st.just("again"), st.integers(1, 3)),
    ]


MOVES = st.tuples(st.just("move"), st.sampled_from(NAMES))


@pytest.mark.slow
@settings(max_examples=400)
@given(st.lists(st.one_of(steps_of(SECOND, LATE // 2, LATE)), max_size=60))
def test_every_change_is_told_in_any_history(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(_follow(steps, ROOM))


@pytest.mark.slow
@settings(max_examples=400)
@given(st.lists(st.one_of(*steps_of(SECOND, LATE // 2), MOVES), max_size=60))
def test_every_change_is_told_if_quiet_changes_move_streams(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(_follow(steps, len(NAMES)))


async def _follow(steps: list[tuple[Any, ...]], room: int) -> None:
    backend = Late()
    reader = Reader(backend)
    small: Any = {"REMEMBERED": room, "_FIRST_PAGE": 1, "_LARGEST_PAGE": 2}
    with patch.multiple(changes, **small):
        for kind, *given_ in steps:
            if kind == "write":
                await backend.write(given_[0], given_[1], delete=given_[2])
            elif kind == "move":
                backend.moved.add(given_[0])
            elif kind == "time":
                backend.pass_time(given_[0])
            elif kind == "read":
                await reader.read(given_[0])
            else:  # it was stopped before it could keep its last cursors
                del reader.cursors[-given_[0] :]
                reader.cursors = reader.cursors or [None]
        for _ in range(4):
            await reader.read_on()
            backend.pass_time(LATE)
        heads: list[Head | None] = await backend.heads(NAMES)
        now = {head.name: token_of(head) for head in heads if head is not None}
        assert {name: told[-1] for name, told in reader.told.items()} == now
        assert [await reader.read_on() for _ in range(3)] == [0, 0, 0], "a quiet reader is told nothing"
        if room == len(NAMES) and all(step[0] != "again" for step in steps):
            assert all(len(set(told)) == len(told) for told in reader.told.values()), "no state is told twice"


async def test_a_burst_of_one_moment_is_told_whole() -> None:
    backend = Late()
    reader = Reader(backend)
    await reader.read_on()
    with patch.object(changes, "REMEMBERED", ROOM):
        for name in NAMES:
            await backend.write(name, 0, delete=False)
        assert await reader.read_on() == ROOM, "further ones wait until the cursor needs no room for them"
        assert await reader.read_on() == 0
        backend.pass_time(LATE)
        assert await reader.read_on() == ROOM - ROOM, "at the edge of the two minutes nothing is settled yet"
        backend.pass_time(1)
        assert await reader.read_on() == len(NAMES) - ROOM
    assert {name: len(told) for name, told in reader.told.items()} == dict.fromkeys(NAMES, 1)


async def test_a_moment_with_more_streams_than_a_cursor_holds_is_read_in_pages() -> None:
    backend = Late()
    reader = Reader(backend)
    await reader.read_on()
    for name in NAMES:
        await backend.write(name, 0, delete=False)
    backend.pass_time(5 * LATE)
    with patch.multiple(changes, REMEMBERED=ROOM, _FIRST_PAGE=1, _LARGEST_PAGE=2):
        assert await reader.read_on() == len(NAMES)
    assert {name: len(told) for name, told in reader.told.items()} == dict.fromkeys(NAMES, 1)


async def test_what_a_quiet_change_moves_below_a_page_is_told() -> None:
    backend = Late()
    reader = Reader(backend)
    await reader.read_on()
    for name in NAMES[:3]:
        await backend.write(name, 0, delete=False)
        backend.pass_time(SECOND)
    backend.pass_time(5 * LATE)
    assert await reader.read(1)
    backend.moved.add("messages/b")
    assert await reader.read_on() == 2


async def test_what_was_told_below_the_first_stream_of_the_next_page_is_not_told_again() -> None:
    backend = Late()
    reader = Reader(backend)
    await reader.read_on()
    await backend.write("messages/x", 0, delete=False)
    backend.pass_time(6)
    for name in NAMES[:2]:
        await backend.write(name, LATE, delete=False)
    backend.pass_time(LATE - 5)
    assert await reader.read_on() == 1
    backend.pass_time(5)
    assert await reader.read(1)
    assert await reader.read_on() == 1
    assert {name: len(told) for name, told in reader.told.items()} == dict.fromkeys(("messages/x", *NAMES[:2]), 1)


async def test_streams_of_a_time_to_come_repeat_no_other() -> None:
    backend = Late()
    reader = Reader(backend)
    await reader.read_on()
    backend.at += 30 * LATE
    for name in NAMES[:2]:
        await backend.write(name, 0, delete=False)
    backend.at -= 30 * LATE
    await backend.write("messages/x", 0, delete=False)
    assert await reader.read(1)
    assert await reader.read_on() == 2
    assert [len(told) for told in reader.told.values()] == [1, 1, 1]


async def test_what_needs_no_room_is_told_by_a_full_cursor() -> None:
    backend = Late()
    reader = Reader(backend)
    await reader.read_on()
    with patch.object(changes, "REMEMBERED", ROOM):
        await backend.write("messages/h", LATE, delete=False)
        backend.pass_time(LATE - 20 * SECOND)
        for name in NAMES[:ROOM]:
            await backend.write(name, 0, delete=False)
        assert await reader.read_on() == ROOM
        backend.pass_time(20 * SECOND + 1)
        await reader.read_on()
    assert "messages/h" in reader.told


async def test_a_place_of_which_the_clock_cannot_be_asked_is_read_by_ours() -> None:
    class ReadOnly(Wrapper):
        async def now(self) -> int:
            raise (InvalidError if self.asked else UnsupportedError)("these credentials may only read")

        asked = False

    backend = ReadOnly(MemoryBackend())
    stores = Stores(backend)
    await stores.messages.add_message("a", {})
    page = await stores.changes("messages")
    backend.asked = True
    await stores.messages.add_message("b", {})
    assert [one.id for one in await stores.changes("messages", after=page.cursor)] == ["b"]
    assert Feed(backend, "messages")._parse(page.cursor).at == pytest.approx(clock() - LATE, abs=60 * SECOND)


async def test_a_feed_without_an_answer_raises() -> None:
    class Away(Wrapper):
        async def now(self) -> int:
            raise UnavailableError("no answer")

    with pytest.raises(UnavailableError):
        await Stores(Away(MemoryBackend())).changes("messages")


@pytest.mark.parametrize("at", [2**62, -(2**62)])
async def test_a_damaged_time_is_some_time(at: int) -> None:
    class Damaged(Wrapper):
        async def streams(self, query: Query) -> Listing:
            return Listing([Listed("messages/a\udcff", at, damaged=True)], None)

    stores = Stores(Damaged(MemoryBackend()))
    page = await stores.changes("messages")
    assert [(one.id, one.token, one.updated_at.year) for one in page] == [("a\udcff", None, 9999 if at > 0 else 1)]
    assert not (await stores.changes("messages", after=page.cursor)).items


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(2**62, b"", None, b""), Cursor(-(2**62), b"\xff", None, b""), Cursor(0, b"", "x", b""),
        Cursor(0, b"", None, b"x" * 13), Cursor(0, b"", "", b"x" * 13), Cursor(-(2**62), b"a", None, b"x" * 60_000),
    ],
)  # fmt: skip
async def test_a_forged_cursor_harms_nobody(cursor: Cursor) -> None:
    stores = Stores(MemoryBackend())
    await stores.messages.add_message("a", {})
    try:
        page = await stores.changes("messages", after=Feed(stores.backend, "messages")._text(cursor))
    except InvalidError:
        return
    assert [one.id for one in page] == ["a"]
    assert len(page.cursor) < 100_000
