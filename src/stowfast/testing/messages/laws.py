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


async def _fork(stores: Stores, context_id: str, **options: Any) -> int:
    return await stores.messages.fork(f"{context_id}/source", context_id, **options)


async def _later(stores: Stores, context_id: str) -> None:
    await stores.messages.add_message(context_id, say("later"))


async def _read(stores: Stores, context_id: str) -> list[dict[str, Any]]:
    return await stores.messages.get_messages(context_id)


async def _delete(stores: Stores, context_id: str) -> None:
    await stores.messages.delete(context_id)


async def _expect_two(_stores: Stores, _context_id: str) -> dict[str, Any]:
    return {"expect": 2}


_MESSAGE: Final = Verb("message", "`add_message`", _begin, _add_one, _read, _later, _delete)
_BATCH: Final = Verb(
    "batch", "`add_messages`", _begin, _add_two, _read, _later, _delete, _expect_two, lambda added: added.stop
)
_FORK: Final = Verb("fork", "`fork`", _begin_source, _fork, _read, _later, _delete)

LAWS: Final = table(
    __name__,
    {
        REPEAT: {_MESSAGE: None, _BATCH: None, _FORK: "a_repeated_fork_forks_nothing"},
        LOST: {_MESSAGE: "a_lost_answer_doubles_no_message", _BATCH: None, _FORK: None},
        RACE: {_BATCH: "of_racers_that_expect_the_same_one_wins", _FORK: None},
        DELETED: {_MESSAGE: None, _BATCH: None, _FORK: None},
    },
)
CLAUSES: Final = tuple(LAWS.values())
