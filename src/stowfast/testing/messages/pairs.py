"""Clauses of pairs: no budget and no compaction separates the two messages that a provider takes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.records import Links
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.data.messages import exactly, say
from stowfast.testing.data.pairs import PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

    Message = dict[str, Any]

_SUM: Final[Message] = {"role": "system", "content": "in short"}
_TURNS: Final = 5
_IDS: Final[dict[str, Any]] = {"the same text": "call_0", "the empty text": "", "no": None, "the same number": 0}


async def the_pair_of_every_maker_stays_whole(make: Make[Stores]) -> None:
    """A budget and a compaction keep the two messages of a pair or neither, in the shapes of every maker."""
    async with make() as stores:
        for maker, row in PAIRS.items():
            context = unique("context")
            await stores.messages.add_messages(context, row)
            for fits, kept in ((1, 1), (2, 1), (3, 3), (4, 4)):
                found = await _newest(stores, context, fits)
                exactly(found, list(row[4 - kept :]), f"{maker}: the newest {fits}")
            same(await stores.messages.compact(context, keep_last=2, summary=_SUM), 1, f"{maker}: the first kept")


async def a_call_id_that_comes_again_is_told_apart(make: Make[Stores]) -> None:
    """A result belongs to the nearest unanswered call of its id before it; without an id to the nearest call."""
    async with make() as stores:
        for subject, id in _IDS.items():
            context = unique("context")
            talk = [message for _ in range(_TURNS) for message in _turn(id)]
            await stores.messages.add_messages(context, talk)
            for fits in range(len(talk) + 1):
                kept = fits - 1 if fits % 4 == 2 else fits
                same(len(await _newest(stores, context, fits)), kept, f"{subject} id: messages of {fits}")
            for keep_last in (2, 6, 18):
                fork = unique("context")
                await stores.messages.fork(context, fork)
                base = await stores.messages.compact(fork, keep_last=keep_last, summary=_SUM)
                same(base, len(talk) - keep_last - 1, f"{subject} id: the first of at least {keep_last}")


async def parallel_calls_and_results_in_parts_stay_whole(make: Make[Stores]) -> None:
    """Parallel calls stay with all their results, in any order, and with the further parts of a result."""
    async with make() as stores:
        for subject, ids in (("other", ("a", "b")), ("the same", ("a", "a")), ("no", (None, None))):
            talk = [say(0), _call(ids[0]), _call(ids[1]), _result(ids[1]), _result(ids[1]), _result(ids[0]), say(1)]
            talk = talk if ids[0] is not None else [*talk[:4], *talk[5:]]
            context = unique("context")
            await stores.messages.add_messages(context, talk)
            for fits in range(len(talk) + 1):
                kept = fits if fits <= 1 or fits >= len(talk) - 1 else 1
                same(len(await _newest(stores, context, fits)), kept, f"{subject} ids: messages of {fits}")
            base = await stores.messages.compact(context, keep_last=2, summary=_SUM)
            same(base, 1, f"{subject} ids: the first kept")


async def a_call_that_waits_for_its_result_is_kept(make: Make[Stores]) -> None:
    """A compaction keeps a call at the end whose result is still to come, unless the talk has gone on without it."""
    async with make() as stores:
        for end, base in (([_call("a"), _call("b"), _result("b")], 1), ([_call("a"), say(1)], 3), ([say(1)], 2)):
            context = unique("context")
            await stores.messages.add_messages(context, [say(0), *end])
            same(await stores.messages.compact(context, keep_last=0, summary=_SUM), base, "the first kept")
            await stores.messages.add_message(context, _result("a"))
            kept = [*[say(0), *end][base:], _result("a")]
            exactly(await stores.messages.get_messages(context), [_SUM, *kept], "messages after the result")


async def a_result_without_its_call_is_left_out_behind_a_summary(make: Make[Stores]) -> None:
    """A budget leaves out a result whose call is summed up, even if all that is not summed up fits."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_messages(context, [_call("a"), say(0)])
        await stores.messages.compact(context, keep_last=0, summary=_SUM)
        await stores.messages.add_messages(context, [_result("a"), say(1)])
        exactly(await _newest(stores, context, 99), [_SUM, say(1)], "messages that fit")


async def a_function_names_the_pairs_of_other_formats(make: Make[Stores]) -> None:
    """`belongs_to` returns the calls that a message opens and answers; None leaves the message to Stowfast."""

    def belongs_to(message: Message) -> Links | None:
        return Links(message.get("asks", ()), message.get("tells", ())) if "n" in message else None

    async with make() as stores:
        context = unique("context")
        talk = [{"n": 0, "asks": ["q", None]}, {"n": 1, "tells": ["q"]}, say(0), {"n": 2, "tells": [None]}, say(1)]
        talk += [_call("a"), _result("a"), say(2)]
        await stores.messages.add_messages(context, talk)
        for fits, kept in enumerate((0, 1, 1, 3, 4, 4, 4, 4, 8)):
            found = await stores.messages.get_messages(
                context, max_tokens=fits, count_tokens=lambda _: 1, belongs_to=belongs_to
            )
            same(len(found), kept, f"messages of {fits}")
        wrong: tuple[Any, ...] = (True, "q", [], Links("q"), Links(opens=7), Links(answers=None))  # type: ignore[arg-type]
        for links in wrong:
            call = stores.messages.get_messages(context, max_tokens=1, belongs_to=_returns(links))
            await raises(InvalidError, call, f"a function that returns {links!r}")
        base = await stores.messages.compact(context, keep_last=5, summary=_SUM, belongs_to=belongs_to)
        same(base, 0, "the first kept")


CLAUSES = clauses(__name__)


def _call(id: Any) -> Message:
    return {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": "f"}}]}


def _result(id: Any) -> Message:
    return {"role": "tool", "tool_call_id": id, "content": "42"}


def _turn(id: Any) -> list[Message]:
    return [say("ask"), _call(id), _result(id), {"role": "assistant", "content": "answer"}]


def _returns(value: Any) -> Callable[[Message], Any]:
    return lambda _: value


async def _newest(stores: Stores, context_id: str, fits: int) -> list[Message]:
    return await stores.messages.get_messages(context_id, max_tokens=fits, count_tokens=lambda _: 1)
