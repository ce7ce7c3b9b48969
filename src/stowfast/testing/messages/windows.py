"""Clauses of windows: a part of a conversation by position, count or tokens, with tool calls kept whole."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec

from stowfast.errors import InvalidError
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import TOOLS, exactly, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

    Message = dict[str, Any]


async def a_window_is_cut_by_position_and_count(make: Make[Stores]) -> None:
    """`after` and `before` are positions, `last` takes the newest of these, `limit` the oldest; always oldest first."""
    context = unique("context")
    async with make() as stores:
        await stores.messages.add_messages(context, [say(number) for number in range(6)])
        await stores.messages.pop_message(context)
        await stores.messages.pop_message(context)
        await stores.messages.add_messages(context, [say(number) for number in range(6, 9)])
    there = [0, 1, 2, 3, 6, 7, 8]
    async with make() as stores:
        for after, before, (last, limit) in product(
            (None, -5, -1, 0, 3, 4, 8, 99), (None, -5, 0, 1, 5, 8, 99), ((None, None), (2, None), (None, 2), (0, None))
        ):
            window = [n for n in there if (after is None or n > after) and (before is None or n < before)]
            window = window[max(len(window) - last, 0) :] if last is not None else window[:limit]
            options: dict[str, Any] = {"after": after, "before": before, "last": last, "limit": limit}
            found = await stores.messages.get_messages(context, **options)
            exactly(found, list(map(say, window)), f"messages in {options}")
        same(await stores.messages.get_messages(unique("context"), last=5), [], "an unknown conversation")


async def a_window_that_means_nothing_is_refused(make: Make[Stores]) -> None:
    """Negative counts, `limit` (from the oldest) beside a count from the newest, and a wrong counter are refused."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_message(context, say(0))
        wrong: tuple[dict[str, Any], ...] = (
            {"last": -1}, {"limit": -1}, {"max_tokens": -1}, {"limit": 1, "last": 1}, {"limit": 1, "max_tokens": 1},
        )  # fmt: skip
        for options in wrong:
            await raises(InvalidError, stores.messages.get_messages(context, **options), str(options))
        counts: tuple[Any, ...] = (None, -1, 0.5, float("nan"), "1", [])
        for count in counts:
            call = stores.messages.get_messages(context, max_tokens=9, count_tokens=_returns(count))
            await raises(InvalidError, call, f"a counter that returns {count!r}")


async def tokens_are_counted_from_the_newest_message_back(make: Make[Stores]) -> None:
    """`max_tokens` takes whole messages from the newest back as long as they fit, by the given counter."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_messages(context, [{"cost": cost} for cost in (1, 9, 1, 4, 2, 3)])

        async def costs(max_tokens: int, **window: Any) -> list[int]:
            found = await stores.messages.get_messages(
                context, max_tokens=max_tokens, count_tokens=lambda message: int(message["cost"]), **window
            )
            return [message["cost"] for message in found]

        wanted = {0: [], 2: [], 3: [3], 4: [3], 5: [2, 3], 9: [4, 2, 3], 18: [1, 4, 2, 3], 19: [9, 1, 4, 2, 3]}
        for max_tokens, kept in wanted.items():
            same(await costs(max_tokens), kept, f"messages of {max_tokens} tokens")
        same(await costs(20), [1, 9, 1, 4, 2, 3], "messages where all fit")
        same(await costs(9, before=5), [1, 4, 2], "messages that fit before a position")
        same(await costs(99, after=2), [4, 2, 3], "messages that fit behind a position")
        same(await costs(99, last=2), [2, 3], "messages that fit, and only the last")


async def tokens_are_estimated_where_nobody_counts(make: Make[Stores]) -> None:
    """Without a counter a message counts one token for every 4 bytes of its JSON, plus one."""
    async with make() as stores:
        context = unique("context")
        messages = [{"text": "é" * length} for length in range(1, 9)]
        await stores.messages.add_messages(context, messages)
        costs = [len(msgspec.json.encode(message)) // 4 + 1 for message in messages]
        for kept in range(1, 9):
            fits = sum(costs[-kept:])
            exactly(await stores.messages.get_messages(context, max_tokens=fits), messages[-kept:], "what just fits")
            found = await stores.messages.get_messages(context, max_tokens=fits - 1)
            exactly(found, messages[len(messages) - kept + 1 :], "one token less")


async def a_tool_call_is_never_torn_from_its_results(make: Make[Stores]) -> None:
    """A window has no result without its call, for any `max_tokens`: alone, parallel, crossed or far apart."""
    async with make() as stores:
        for maker, write in TOOLS.items():
            talk: list[tuple[Message, set[str], set[str]]] = []
            for calls, results in (
                (("a",), ("a",)), ((), ()), (("b", "c", "d"), ("d", "b")), ((), ("c",)), (("e",), ()), (("f",), ("e",)),
                ((), ("f",)), ((), ()), (("g",), ()), ((), ()), ((), ()), ((), ("g",)), (("h",), ("h",)),
            ):  # fmt: skip
                talk += [(say("and"), set(), set())]
                asked = write(calls, ())
                named = [{one} for one in calls] if len(asked) == len(calls) else [set(calls)]
                talk += [(message, called, set()) for message, called in zip(asked, named, strict=True)]
                talk += [(message, set(), {one}) for one in results for message in write((), (one,))]
            context, known = unique("context"), [message for message, _, _ in talk]
            await stores.messages.add_messages(context, known)
            for fits in range(len(talk) + 1):
                found = await stores.messages.get_messages(context, max_tokens=fits, count_tokens=lambda _: 1)
                begin = len(talk) - _begin(talk, fits)
                exactly(found, known[len(known) - begin :] if begin else [], f"{maker}: the newest {fits}")


async def a_result_is_left_out_with_all_before_it(make: Make[Stores]) -> None:
    """A result whose call does not fit is left out with all messages before it. A call may stand without results."""
    async with make() as stores:
        for maker, write in TOOLS.items():
            context = unique("context")
            (call,), (result,) = write(("x",), ()), write((), ("x",))
            await stores.messages.add_messages(context, [say(0), call, say(1), result, say(2), *write(("y",), ())])
            for fits, kept in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 5), (6, 6)):
                found = await stores.messages.get_messages(context, max_tokens=fits, count_tokens=lambda _: 1)
                same(len(found), kept, f"{maker}: messages kept of {fits} that fit")
            found = await stores.messages.get_messages(context, max_tokens=5, count_tokens=lambda _: 1)
            holds(call in found and result in found, f"{maker}: the call and its result")


CLAUSES = clauses(__name__)


def _returns(value: Any) -> Callable[[Message], Any]:
    return lambda _: value


def _begin(talk: list[tuple[Message, set[str], set[str]]], fits: int) -> int:
    """Return the earliest start among the newest `fits` that keeps calls with their results, computed slowly."""
    for begin in range(len(talk) - fits, len(talk) + 1):
        called = set().union(*(calls for _, calls, _ in talk[begin:]), ())
        if all(results <= called for _, _, results in talk[begin:]):
            return begin
    raise AssertionError("an empty window tears nothing")
