"""Clauses of names: their bounds, exact comparison, and listings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.abc import MAX_NAME_BYTES, Change, Listed, Query
from stowfast.errors import InvalidError
from stowfast.testing.clause import append, clauses, holds, raises, same, stored, told, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Backend
    from stowfast.testing.clause import Make

PATIENCE: Final = 20.0
"""Seconds until a listing must show a changed stream."""

ROOM_FOR_A_PREFIX: Final = 64
"""Bytes below the bound of names: the kit may run in a `wrappers.Prefixed`, whose prefix needs room."""

HOSTILE: Final = (
    "../../etc/passwd", "..", ".", "a/b", "a_b", "a//b", "a/b/", "/a/b", "a\\b", "A/B", "a%2fb", "a%2Fb", "a b", "a+b",
    "a.", "a ", " a", "a", "\t", "a\nb", "a\r\nb", "'; drop table streams;--", '"', "`", "a:b", "a*", "a?", "a|b",
    "<a>", "{a}", "$HOME", "~", "CON", "nul", "-", "--", "%", "%00", "#", "&", "=", "a.json", "head", "NULL", "0",
    "\x01", "\x7f", "é", "e\u0301", "ß", "SS", "ss", "\u0131", "i", "İ", "\u200b", "\ufeff", "\u202e", "\U0001f600",
    "\uffff", "\U0010ffff", "日本語", "\uff41", "x" * 300, "é" * 150,
)  # fmt: skip


async def a_name_outside_its_bounds_is_refused(make: Make[Backend]) -> None:
    """A name that is empty, over `MAX_NAME_BYTES` of UTF-8, with NUL or a lone surrogate is an InvalidError."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    async with make() as backend:
        token = unique()
        for name in ("", token + "\0", token + "\ud800", token + "x" * MAX_NAME_BYTES, token + "é" * 600):
            await raises(InvalidError, append(backend, name, b"x"), f"a commit to a name of {len(name)} characters")
            await raises(
                InvalidError, backend.write_blob(name, chunks()), f"a blob of a name of {len(name)} characters"
            )
        same((await backend.streams(Query(token))).streams, [], "streams that refused names left")


async def a_long_name_is_a_name(make: Make[Backend]) -> None:
    """A name may be as long as its bound. Two names that differ in the last character are two streams."""
    async with make() as backend:
        token = unique()
        longest = token + "é" * ((MAX_NAME_BYTES - ROOM_FOR_A_PREFIX - len(token)) // 2 - 1)
        for last in "ab":
            await append(backend, longest + last, last.encode())
        for last in "ab":
            same(await stored(backend, longest + last), [last.encode()], f"entries of the name that ends with {last}")
        listed = (await backend.streams(Query(longest))).streams
        same([one.name for one in listed], [longest + "a", longest + "b"], "long names in a listing")


async def no_two_names_are_taken_for_one(make: Make[Backend]) -> None:
    """Names are compared exactly, character by character: no case, normal form, path or wildcard."""
    token = unique()
    async with make() as backend:
        for name in HOSTILE:
            await backend.commit(f"{token}/{name}", Change([name.encode()], op_id="op", labels={"name": name}))
    async with make() as backend:
        for name in HOSTILE:
            head, entries = await backend.read(f"{token}/{name}")
            same([entry.data for entry in entries], [name.encode()], f"entries of {name!r}")
            same(head and (head.name, head.labels), (f"{token}/{name}", {"name": name}), f"the head of {name!r}")
        for name in ("a/b", "é", "A/B"):
            await backend.commit(f"{token}/{name}", Change(delete=True))
        left = {name for name in HOSTILE if name not in ("a/b", "é", "A/B")}
        listed = (await backend.streams(Query(f"{token}/", limit=len(HOSTILE)))).streams
        same({one.name.removeprefix(f"{token}/") for one in listed}, left, "names listed after three were deleted")


async def a_listing_is_in_the_order_of_code_points(make: Make[Backend]) -> None:
    """A listing by name is in the order of code points, the same in every backend."""
    async with make() as backend:
        token = unique()
        for name in HOSTILE:
            await append(backend, f"{token}/{name}", b"x")
        listed = (await backend.streams(Query(f"{token}/", limit=len(HOSTILE)))).streams
        same([one.name.removeprefix(f"{token}/") for one in listed], sorted(HOSTILE), "names in order")


async def a_listing_holds_exactly_what_begins_so(make: Make[Backend]) -> None:
    """A listing has every stream with the prefix and no other. No character of the prefix is a wildcard."""
    async with make() as backend:
        token = unique()
        names = ["a", "ab", "a_b", "a%b", "a*b", "a?b", "a[b]", "a\\b", "A", "aé", "ae\u0301", "a\U0010ffff",
                 "a\U0010ffff\U0010ffffb", "a\ud7ffb", "a\ue000b", "b"]  # fmt: skip
        for name in names:
            await append(backend, token + name, b"x")
        prefixes = ["", "a", "a_", "a%", "a*", "a?", "a[", "a\\", "A", "b", "c", "ae", "a\U0010ffff", "a\ud7ff",
                    "a\U0010ffff\U0010ffff", "a\U0010ffff\U0010ffff\U0010ffff", "ab\0"]  # fmt: skip
        for prefix in prefixes:
            listed = (await backend.streams(Query(token + prefix))).streams
            wanted = sorted(name for name in names if name.startswith(prefix))
            same([one.name.removeprefix(token) for one in listed], wanted, f"streams that begin with {prefix!r}")


async def a_listing_by_recency_shows_the_last_changed_first(make: Make[Backend]) -> None:
    """A listing by recency shows the last changed first, as soon as the backend's clock tells them apart."""
    async with make() as backend:
        token = unique()
        first, second, third = (f"{token}{letter}" for letter in "dbc")
        begun = [(name, Change([b"0"])) for name in (first, second, third)]
        changed = [(second, Change([b"1"])), (first, Change(labels={"k": "v"})), (third, Change(note=b"n"))]
        for name, change in begun + changed:
            listed = await _told_apart(backend, token, name, change)
            ordered = sorted(listed, key=lambda one: (-one.updated_at, one.name))
            same(listed, ordered, "streams by recency, and those of one time by name")
        names = [one.name for one in (await backend.streams(Query(token, order="recent"))).streams]
        same(names, [third, first, second], "the last changed first")


async def pages_hold_every_stream_once(make: Make[Backend]) -> None:
    """Pages of any size, in both orders, show every stream once, and the last page is marked as last."""
    async with make() as backend:
        token = unique()
        names = [f"{token}{number:02} {'x' * (number % 3)}" for number in range(12)]
        for name in reversed(names):
            await append(backend, name, b"x")
        orders: tuple[Literal["name", "recent"], ...] = ("name", "recent")
        for order in orders:
            for limit in (1, 3, 4, 5, 12, 13):
                found = [name async for name in paged(backend, token, order=order, limit=limit)]
                same(found, names, f"streams in pages of {limit} by {order}")


async def pages_by_name_hold_what_was_there_throughout(make: Make[Backend]) -> None:
    """While streams begin, end and change, paging by name shows every stream that existed throughout."""
    async with make() as backend:
        token = unique()
        names = [f"{token}{number:02}" for number in range(10)]
        for name in names:
            await append(backend, name, b"x")
        found: list[str] = []
        async for name in paged(backend, token, order="name", limit=2):
            found.append(name)
            if name in names:
                await append(backend, names[0], b"changed")
                await append(backend, f"{name}+", b"new")
                if names.index(name) % 4 == 1:
                    await backend.commit(name, Change(delete=True))
        same([name for name in found if name in names], names, "streams that were there when their page was asked for")
        same(len(found), len(set(found)), "streams shown, and different ones")


async def a_listing_holds_to_every_label_asked(make: Make[Backend]) -> None:
    """`where` returns the streams whose current labels hold every given pair, on every page."""
    async with make() as backend:
        token = unique()
        labels: tuple[dict[str, str], ...] = ({"a": "1"}, {"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"b": "2"}, {},
                                             {"a": ""}, {"a": "1 "})  # fmt: skip
        names = [f"{token}{number}" for number in range(len(labels))]
        for name, held in reversed([*zip(names, labels, strict=True)]):  # the first last, so that both orders agree
            await backend.commit(name, Change([b"x"], labels={"a": "1", "b": "2"}))
            await backend.commit(name, Change(labels=held))
        asked: tuple[dict[str, str], ...] = ({}, {"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}, {"b": "1", "a": "2"},
                                            {"a": ""}, {"a": "1", "c": ""}, {"1": "a"})  # fmt: skip
        orders: tuple[Literal["name", "recent"], ...] = ("name", "recent")
        for where in asked:
            wanted = [name for name, held in zip(names, labels, strict=True) if where.items() <= held.items()]
            for order in orders:
                found = [name async for name in paged(backend, token, where=where, order=order, limit=2)]
                same(found, wanted, f"streams where {where} by {order}")


async def a_listing_has_the_heads_that_are_asked_for(make: Make[Backend]) -> None:
    """With `heads` each row of a listing has the current head of its stream, and otherwise none."""
    orders: tuple[Literal["name", "recent"], ...] = ("name", "recent")
    async with make() as backend, make() as other:
        token = unique()
        names = [f"{token}/{number:02}" for number in range(20)]
        for number, name in enumerate(names):
            await other.commit(name, Change([b"x"], labels={"half": str(number % 2)}, note=name.encode()))
        for turn in range(3):
            changed = names[turn * 3]
            await other.commit(changed, Change([b"y"], note=b"changed", labels={"half": "0"}))
            for order in orders:
                for where in ({}, {"half": "0"}):
                    query = Query(f"{token}/", where=where, order=order)
                    listed = (await backend.streams(query._replace(heads=True))).streams
                    heads = await other.heads([one.name for one in listed])
                    same([one.head for one in listed], heads, f"heads of a listing by {order} where {where}")
                    holds(changed in [one.name for one in listed], "what was changed is listed")
                    bare = (await backend.streams(query)).streams
                    same([one.head for one in bare], [None] * len(listed), "heads that nobody asked for")


async def a_cursor_of_another_list_is_refused(make: Make[Backend]) -> None:
    """A cursor from no listing in this order below this prefix is an InvalidError, never a wrong page."""
    async with make() as backend:
        token = unique()
        await append(backend, f"{token}a", b"x")
        await append(backend, f"{token}b", b"x")
        cursor = (await backend.streams(Query(token, limit=1))).after
        holds(cursor is not None, "a first page of two has a cursor")
        for after in (cursor, "nonsense", "", "12", "-1 a", "\u0661 a"):
            await raises(InvalidError, backend.streams(Query(token, order="recent", after=after)), f"after={after!r}")
        await raises(InvalidError, backend.streams(Query(unique(), after=cursor)), "a cursor below another prefix")


async def _told_apart(backend: Backend, token: str, name: str, change: Change) -> list[Listed]:
    """Make a change until the listing shows its stream as changed later than every other."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await backend.commit(name, change)
        listed = (await backend.streams(Query(token, order="recent"))).streams
        times = {one.name: one.updated_at for one in listed}
        if all(times[name] > times[other] for other in times.keys() - {name}):
            return listed
    raise AssertionError(f"{told(change)} did not make its stream the last changed one within {PATIENCE:g} s")


async def paged(backend: Backend, prefix: str, *, limit: int, **asked: Any) -> AsyncIterator[str]:
    """Yield the names of a listing, page by page."""
    after = None
    for _ in range(100):
        page = await backend.streams(Query(prefix, after=after, limit=limit, **asked))
        holds(len(page.streams) <= limit, f"a page of {limit} has {len(page.streams)}")
        for one in page.streams:
            yield one.name
        after = page.after
        if after is None:
            return
        holds(page.streams, "a page that is not the last has something on it")
    raise AssertionError("a hundred pages, and no last one")


CLAUSES = clauses(__name__)
