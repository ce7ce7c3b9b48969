"""The laws of messages: a row for each call that adds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.testing.data.messages import say
from stowfast.testing.laws import DELETED, LOST, RACE, REPEAT, Verb, table

if TYPE_CHECKING:
    from stowfast.stores import Stores

__all__ = ["CLAUSES", "LAWS"]


async def _begin(stores: Stores, context_id: str) -> None:
    await stores.messages.add_messages(context_id, [say(0), say(1)])


async def _begin_source(stores: Stores, context_id: str) -> None:
    await _begin(stores, f"{context_id}/source")


async def _add_one(stores: Stores, context_id: str, **options: Any) -> int:
    return await stores.messages.add_message(context_id, say("same"), **options)


async def _add_two(stores: Stores, context_id: str, **options: Any) -> range:
    return await stores.messages.add_messages(context_id, [say("same")] * 2, **options)


async def _add_titled(stores: Stores, context_id: str, **options: Any) -> int:
    return await stores.messages.add_message(context_id, say("same"), metadata={"title": "same"}, **options)


async def _replace(stores: Stores, context_id: str, **options: Any) -> range:
    return await stores.messages.replace_messages(context_id, [say("same")] * 2, start=1, **options)


async def _pop(stores: Stores, context_id: str, **options: Any) -> dict[str, Any] | None:
    return await stores.messages.pop_message(context_id, **options)


async def _fork(stores: Stores, context_id: str, **options: Any) -> int:
    return await stores.messages.fork(f"{context_id}/source", context_id, **options)


async def _later(stores: Stores, context_id: str) -> None:
    await stores.messages.add_message(context_id, say("later"))


async def _read(stores: Stores, context_id: str) -> tuple[list[dict[str, Any]], object]:
    found = await stores.messages.read(context_id)
    return found.messages, found.info and (found.info.metadata, found.info.next_position)


async def _delete(stores: Stores, context_id: str) -> None:
    await stores.messages.delete(context_id)


async def _expect_two(_stores: Stores, _context_id: str) -> dict[str, Any]:
    return {"expect": 2}


async def _if_token(stores: Stores, context_id: str) -> dict[str, Any]:
    info = await stores.messages.info(context_id)
    return {"if_token": info.token if info else None}


_MESSAGE: Final = Verb("message", "`add_message`", _begin, _add_one, _read, _later, _delete)
_BATCH: Final = Verb(
    "batch", "`add_messages`", _begin, _add_two, _read, _later, _delete, _expect_two, lambda added: added.stop
)
_TITLED: Final = Verb(
    "titled_message", "`add_message` with metadata", _begin, _add_titled, _read, _later, _delete, _if_token,
    lambda position: position + 1,
)  # fmt: skip
_REPLACEMENT: Final = Verb(
    "replacement", "`replace_messages`", _begin, _replace, _read, _later, _delete, _if_token, lambda added: added.stop
)
_POP: Final = Verb("pop", "`pop_message`", _begin, _pop, _read, _later, _delete)
_FORK: Final = Verb("fork", "`fork`", _begin_source, _fork, _read, _later, _delete)

# A repeated pop answers from the head without a commit, so it has no second answer to lose: its own clause covers it.
LAWS: Final = table(
    __name__,
    {
        REPEAT: {
            _MESSAGE: None,
            _BATCH: None,
            _TITLED: None,
            _REPLACEMENT: None,
            _POP: None,
            _FORK: "a_repeated_fork_forks_nothing",
        },
        LOST: {
            _BATCH: None,
            _TITLED: None,
            _REPLACEMENT: None,
            _FORK: None,
            _MESSAGE: "a_lost_answer_doubles_no_message",
        },
        RACE: {_BATCH: "of_racers_that_expect_the_same_one_wins", _TITLED: None, _REPLACEMENT: None, _FORK: None},
        DELETED: {_MESSAGE: None, _BATCH: None, _TITLED: None, _REPLACEMENT: None, _FORK: None},
    },
)
CLAUSES: Final = tuple(LAWS.values())
