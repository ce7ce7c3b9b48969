"""Laws that hold for many verbs. A table of laws and verbs gives one clause for each pair.

A verb is a row: functions for the call, for the read of its effect, and for the condition of a race. A law is one check
for all verbs. A pair has a name and a sentence of its own, so a report names both the verb and the law.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from stowfast.errors import ConflictError, NotFoundError, UnavailableError
from stowfast.testing.clause import either, raises, same, unique
from stowfast.testing.faults import LosesAnswers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.testing.clause import Clause, Make

__all__ = ["DELETED", "GONE", "LOST", "RACE", "REPEAT", "Law", "Verb", "table"]

Act: TypeAlias = Callable[..., Awaitable[Any]]

RACERS: Final = 12
ROUNDS: Final = 5


class Verb(NamedTuple):
    """A way to write. Each function takes an opening, of a backend or of stores, and the name of a stream or record."""

    key: str
    """The verb in the names of its clauses."""
    text: str
    """The verb in their sentences."""
    begin: Act
    """Prepares the call."""
    call: Act
    """Makes the call. Its options are `op_id` and those of `condition`. The answer can be compared."""
    read: Act
    """Returns the whole visible state without name and times: two records of equal calls are equal."""
    later: Act
    """Changes the same record after the call."""
    delete: Act
    """Deletes the record."""
    condition: Act | None = None
    """Returns the options of a race: only one of several calls with them succeeds."""
    current: Callable[[Any], object] | None = None
    """Returns `current` of the errors of a race, from the answer of its winner."""
    repeated: Callable[[Any], Any] = lambda answer: answer
    """Turns the first answer into the answer of a repeat."""


class Law(NamedTuple):
    """A promise about a verb. `name` and `sentence` have a field, `{}`, for the verb."""

    name: str
    sentence: str
    check: Callable[[Make[Any], Verb], Coroutine[Any, Any, None]]


def table(module: str, pairs: Mapping[Law, Mapping[Verb, str | None]]) -> dict[str, Clause[Any]]:
    """Return a clause for each law and verb, by its name: the given one or, for None, the law's name for the verb."""
    made = (_clause(module, law, verb, name) for law, verbs in pairs.items() for verb, name in verbs.items())
    return {clause.__name__: clause for clause in made}


def _clause(module: str, law: Law, verb: Verb, name: str | None) -> Clause[Any]:
    async def clause(make: Make[Any]) -> None:
        await law.check(make, verb)

    sentence = law.sentence.format(verb.text)
    clause.__name__ = clause.__qualname__ = name or law.name.format(verb.key)
    clause.__doc__, clause.__module__ = sentence[0].upper() + sentence[1:], module
    return clause


async def _repeat_does_nothing(make: Make[Any], verb: Verb) -> None:
    name = unique("law")
    async with make() as one:
        await verb.begin(one, name)
        first = await verb.call(one, name, op_id="op")
        await verb.later(one, name)
        seen = await verb.read(one, name)
        for _ in range(2):
            same(await verb.call(one, name, op_id="op"), verb.repeated(first), f"the answer to a repeat of {verb.text}")
        same(await verb.read(one, name), seen, f"the state after a repeat of {verb.text}")
    async with make() as reopened:
        again = await verb.call(reopened, name, op_id="op")
        same(again, verb.repeated(first), f"the answer to a repeat of {verb.text} after reopening")
        same(await verb.read(reopened, name), seen, "the state after that repeat")


async def _lost_answer_doubles_nothing(make: Make[Any], verb: Verb) -> None:
    async with make() as opening:
        loses, losing = _losing(opening)
        for lost in (1, 2):
            name, twin = unique("law"), unique("law")
            for record in (name, twin):
                await verb.begin(opening, record)
            await verb.call(opening, twin, op_id="op")
            loses.lose = lost
            await raises(UnavailableError, verb.call(losing, name, op_id="op"), f"a lost answer to {verb.text}")
            for record in (name, twin):  # another writer is quicker than the repeat
                await verb.later(opening, record)
            for _ in range(lost - 1):
                await raises(UnavailableError, verb.call(losing, name, op_id="op"), "an answer lost again")
            answer = await verb.call(losing, name, op_id="op")
            same(answer, verb.repeated(answer), f"the answer to a repeat of {verb.text}")
            same(await verb.read(opening, name), await verb.read(opening, twin), f"the state after {verb.text}")


async def _race_has_one_winner(make: Make[Any], verb: Verb) -> None:
    condition = verb.condition or _nothing
    async with make() as one, make() as other:
        for _ in range(ROUNDS):
            name, twin = unique("law"), unique("law")
            for record in (name, twin):
                await verb.begin(one, record)
            options = await condition(one, name)
            await verb.call(other, twin, **await condition(one, twin))
            racing = (either(verb.call((one, other)[n % 2], name, **options), ConflictError) for n in range(RACERS))
            results = await asyncio.gather(*racing)
            lost = [result for result in results if isinstance(result, ConflictError)]
            same(len(lost), RACERS - 1, f"racing calls of {verb.text} that lost")
            if verb.current:
                (won,) = (result for result in results if not isinstance(result, ConflictError))
                same({error.current for error in lost}, {verb.current(won)}, f"`current` of a lost call of {verb.text}")
            same(await verb.read(other, name), await verb.read(one, twin), f"the state after a race of {verb.text}")


async def _deleted_stays_deleted(make: Make[Any], verb: Verb, refusals: tuple[type[Exception], ...] = ()) -> None:
    name = unique("law")
    async with make() as one, make() as stalled:
        await verb.begin(one, name)
        first = await verb.call(stalled, name, op_id="op")
        await verb.delete(one, name)
        seen = await verb.read(one, name)
        for opening in (stalled, one):
            await _answered(verb, opening, name, first, refusals)
            same(await verb.read(one, name), seen, f"the state after a deletion and a repeat of {verb.text}")
        await verb.begin(one, name)
        seen = await verb.read(one, name)
        await _answered(verb, stalled, name, first, refusals)
        same(await verb.read(one, name), seen, f"the state of the next incarnation after a repeat of {verb.text}")


async def _answered(verb: Verb, opening: Any, name: str, first: Any, refusals: tuple[type[Exception], ...]) -> None:
    try:
        again = await verb.call(opening, name, op_id="op")
    except refusals:
        return
    same(again, verb.repeated(first), f"the answer to a repeat of {verb.text} after a deletion")


async def _nothing(_opening: Any, _name: str) -> dict[str, Any]:
    return {}


def _losing(opening: Any) -> tuple[LosesAnswers, Any]:
    """Return a wrapper that loses answers, and the opening over it: the wrapper itself, or stores."""
    if hasattr(opening, "backend") and hasattr(opening, "messages"):
        loses = LosesAnswers(opening.backend, 0)
        return loses, type(opening)(loses)
    loses = LosesAnswers(opening, 0)
    return loses, loses


REPEAT: Final = Law(
    "a_repeated_{}_changes_nothing",
    "A repeat of {} with its op_id changes nothing, for any change in between, and returns the first answer.",
    _repeat_does_nothing,
)
LOST: Final = Law(
    "a_lost_answer_doubles_no_{}",
    "After lost answers, {} takes effect once if it is repeated with its op_id.",
    _lost_answer_doubles_nothing,
)
RACE: Final = Law(
    "of_racing_calls_one_makes_the_{}",
    "Of racing calls of {} under one condition one succeeds; each other is a ConflictError and stores nothing.",
    _race_has_one_winner,
)
DELETED: Final = Law(
    "a_repeated_{}_stays_deleted",
    "A repeat of {} after a deletion returns the first answer, and brings nothing back.",
    _deleted_stays_deleted,
)
GONE: Final = Law(
    DELETED.name,
    "A repeat of {} after a deletion is a NotFoundError or returns the first answer, and brings nothing back.",
    partial(_deleted_stays_deleted, refusals=(NotFoundError,)),
)
