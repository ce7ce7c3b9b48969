"""Clauses of tokens: changes that are made for one state of a conversation, or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, UnavailableError
from stowfast.testing.clause import clauses, either, holds, raises, same, unique
from stowfast.testing.data.messages import exactly, say
from stowfast.testing.faults import LosesAnswers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stowfast.stores import Messages, Stores
    from stowfast.testing.clause import Make

_SUM: Final = {"role": "system", "content": "in short"}

_CHANGES: Final[dict[str, Callable[[Messages, str], Awaitable[object]]]] = {
    "a message": lambda messages, context: messages.add_message(context, say("more")),
    "a pop": lambda messages, context: messages.pop_message(context),
    "metadata": lambda messages, context: messages.set_metadata(context, {"k": "changed"}),
    "an expiry": lambda messages, context: messages.set_expiry(context, datetime(2999, 1, 1, tzinfo=UTC)),
    "a compaction": lambda messages, context: messages.compact(context, keep_last=1, summary=_SUM),
    "a replacement": lambda messages, context: messages.replace_messages(context, [say(1)], start=1),
    "a deletion": lambda messages, context: messages.delete(context),
}

_CALLS: Final[tuple[Callable[[Messages, str, str], Awaitable[object]], ...]] = (
    lambda messages, context, token: messages.add_message(context, say("late"), if_token=token),
    lambda messages, context, token: messages.add_message(context, say("l"), metadata={"k": "late"}, if_token=token),
    lambda messages, context, token: messages.add_messages(context, [say("late")] * 2, if_token=token),
    lambda messages, context, token: messages.set_metadata(context, {"k": "late"}, if_token=token),
    lambda messages, context, token: messages.update_metadata(context, {"k": "late"}, if_token=token),
    lambda messages, context, token: messages.replace_messages(context, [say("late")], start=0, if_token=token),
    lambda messages, context, token: messages.delete(context, if_token=token),
)


async def a_token_is_outdated_by_any_change(make: Make[Stores]) -> None:
    """With `if_token` a call is made for the state of the token, or is a ConflictError that changes nothing."""
    async with make() as stores, make() as other:
        for subject, change in _CHANGES.items():
            context = unique("context")
            await stores.messages.add_messages(context, [say(0), say(1)], metadata={"k": "v"})
            token = await _token(stores.messages, context)
            same(await _token(other.messages, context), token, "the token of another opening")
            await change(other.messages, context)
            before = await stores.messages.read(context)
            for call in _CALLS:
                await raises(ConflictError, call(stores.messages, context, token), f"an old token after {subject}")
            same(await stores.messages.read(context), before, f"the conversation after {subject} and conflicts")


async def a_token_of_now_lets_a_change_pass(make: Make[Stores]) -> None:
    """With the token of `info` or of `read`, every call that takes one is made."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_message(context, say(0))
        token = await _token(stores.messages, context)
        same(await stores.messages.add_messages(context, [say(1), say(2)], if_token=token), range(1, 3), "positions")
        token = await _token(stores.messages, context)
        same(await stores.messages.add_message(context, say(3), metadata={"n": 1}, if_token=token), 3, "the position")
        await stores.messages.set_metadata(context, {"n": 2}, if_token=await _token(stores.messages, context))
        token = await _token(stores.messages, context)
        same(await stores.messages.update_metadata(context, {"m": 3}, if_token=token), {"n": 2, "m": 3}, "metadata")
        token = await _token(stores.messages, context)
        await stores.messages.replace_messages(context, [say(4)], start=2, if_token=token)
        exactly(await stores.messages.get_messages(context), [say(0), say(1), say(4)], "messages")
        await stores.messages.delete(context, if_token=await _token(stores.messages, context))
        same(await stores.messages.info(context), None, "a deleted conversation")


async def messages_and_metadata_are_one_change(make: Make[Stores]) -> None:
    """Messages with `metadata` are stored in one commit: both or none, found by a listing, the summary unchanged."""
    context = unique("context")
    async with make() as stores, make() as other:
        same(await stores.messages.add_messages(context, [say(0), say(1)], metadata={"turn": 0}), range(2), "positions")
        await stores.messages.compact(context, keep_last=1, summary=_SUM)
        racing = ((stores, other)[n % 2].messages.add_message(context, say(n), metadata={"turn": n}) for n in range(6))
        await asyncio.gather(*racing)
        found = await other.messages.read(context)
        holds(found.info is not None, "a conversation")
        turn = found.info and found.info.metadata["turn"]
        exactly(found.messages[-1], say(turn), "the last message and the metadata of one call")
        exactly(found.messages[:2], [_SUM, say(1)], "the summary")
        listed = await stores.messages.contexts(prefix=context, where={"turn": turn})
        same([one.context_id for one in listed], [context], "found by the new metadata")
        loses = LosesAnswers(stores.backend, 1)
        messages = type(stores)(loses).messages
        call = messages.add_message(context, say("op"), metadata={"turn": "op"}, op_id="op")
        await raises(UnavailableError, call, "a lost answer")
        await stores.messages.set_metadata(context, {"turn": "later"})
        same(await messages.add_message(context, say("op"), metadata={"turn": "op"}, op_id="op"), 8, "the repeat")
        info = await stores.messages.info(context)
        same(info and (info.metadata, info.count), ({"turn": "later"}, 9), "what is known after the repeat")
        call = stores.messages.add_message(context, say("no"), metadata={"turn": "no"}, expect=3)
        same((await raises(ConflictError, call, "expect=3")).current, 9, "the error's current")
        wrong: tuple[Any, ...] = ([], "text", {"k": (1,)})
        for metadata in wrong:
            await raises(InvalidError, stores.messages.add_message(context, say(0), metadata=metadata), repr(metadata))
        same(await stores.messages.count(context), 9, "messages after refusals")


async def of_racers_with_one_token_one_wins(make: Make[Stores]) -> None:
    """Of racing calls with the same token exactly one is made."""
    async with make() as one, make() as other:
        for _ in range(3):
            context = unique("context")
            await one.messages.add_message(context, say(0))
            token = await _token(one.messages, context)
            racing = (
                either(
                    (one, other)[n % 2].messages.add_message(
                        context, say("same"), metadata={"n": n} if n < 4 else None, if_token=token
                    ),
                    ConflictError,
                )
                for n in range(8)
            )
            lost = sum(isinstance(result, ConflictError) for result in await asyncio.gather(*racing))
            same((lost, await one.messages.count(context)), (7, 2), "racers that lost, and messages stored")


async def a_read_is_of_one_moment(make: Make[Stores]) -> None:
    """A read returns messages with positions, as `get_messages` does, and the info of the same moment."""
    context = unique("context")
    async with make() as stores, make() as other:
        same((await stores.messages.read(context)).info, None, "an unknown conversation")
        await stores.messages.add_messages(context, list(map(say, range(6))))
        await stores.messages.compact(context, keep_last=3, summary=_SUM)
        windows: tuple[dict[str, Any], ...] = (
            {}, {"last": 2}, {"last": 4}, {"last": 3}, {"limit": 2}, {"limit": 1}, {"limit": 0}, {"after": 3},
            {"before": 4}, {"before": 0}, {"originals": True}, {"originals": True, "last": 5},
        )  # fmt: skip
        for window in windows:
            found = await stores.messages.read(context, **window)
            exactly(found.messages, await stores.messages.get_messages(context, **window), f"messages in {window}")
            same(found.info, await stores.messages.info(context), f"the info of {window}")
            same(
                [int(one.message["content"]) for one in found.entries], [one.position for one in found.entries], "order"
            )
        adding = asyncio.gather(*(other.messages.add_message(context, say(n), metadata={"n": n}) for n in range(6, 30)))
        for _ in range(12):
            found = await stores.messages.read(context)
            holds(found.info, "a conversation")
            if found.info is not None and found.info.metadata:
                exactly(found.messages[-1], say(found.info.metadata["n"]), "the last message and its metadata")
                same(found.entries[-1].position + 1, found.info.next_position, "the next position")
        await adding


async def a_token_that_is_none_is_refused(make: Make[Stores]) -> None:
    """A text that is no token is an InvalidError, and so is a token beside `expect`; nothing is changed."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_message(context, say(0))
        wrong: tuple[Any, ...] = (
            "",
            "x",
            "x:1",
            "x:1:",
            "x:-1:1",
            ":1:1",
            "x:1:" + "9" * 10_000,
            "x:１:1",
            7,
            b"x:1:1",
        )
        for token in wrong:
            await raises(InvalidError, stores.messages.add_message(context, say(1), if_token=token), repr(token)[:20])
            await raises(InvalidError, stores.messages.delete(context, if_token=token), repr(token)[:20])
        token = await _token(stores.messages, context)
        call = stores.messages.add_message(context, say(1), expect=1, if_token=token)
        await raises(InvalidError, call, "expect beside a token")
        same(await stores.messages.count(context), 1, "messages after refusals")


CLAUSES = clauses(__name__)


async def _token(messages: Messages, context_id: str) -> str:
    info = await messages.info(context_id)
    if info is None:
        raise AssertionError("a conversation is there and has no info")
    return info.token
