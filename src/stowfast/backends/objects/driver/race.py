"""`stowfast doctor URL --race`: many writers at once at one key, again and again. Each time exactly one may win."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.objects.protocol.requests import ABSENT, All, Delete, Get, Object, Pause, Put
from stowfast.errors import StowfastError, UnavailableError

if TYPE_CHECKING:
    from stowfast.backends.objects.protocol.requests import Condition, Steps, Token

__all__ = ["Raced", "race"]

_TRIES: Final = 10
_BUSY: Final = 0.2


class Raced(NamedTuple):
    """The results of the races."""

    races: int
    """All of them. Where the store keeps its word, exactly one writer has won each."""
    unsaid: int
    """Races whose winner got no answer and was found by reading back."""
    empty: int
    """Attempts without a winner, since the store was busy. They were repeated."""
    broken: list[str]
    """The failures, one line for each failed race."""


def race(unique: str, *, rounds: int = 50, writers: int = 8, pace: float = 0.0) -> Steps[Raced]:
    """Race writers for one key, first to create it, then to replace it. Leaves nothing behind.

    Args:
        unique: a new unique text.
        rounds: the number of keys, with two races each.
        writers: the number of concurrent writers.
        pace: seconds between two changes of a key, for stores with such a limit.

    Raises:
        UnavailableError: no answer.
        InvalidError: the credentials or the bucket are wrong.
    """
    unsaid = empty = 0
    broken: list[str] = []
    for number in range(rounds):
        key = f"probe/{unique}-{number}"
        try:
            condition: Condition | Token = ABSENT
            for verb in ("create", "replace"):
                came = yield from _race(key, condition, verb, writers, pace)
                unsaid, empty = unsaid + came.unsaid, empty + came.empty
                if came.broken:
                    broken.append(f"race {number + 1} to {verb} a key: {came.broken}")
                condition = came.token
        except StowfastError:
            with suppress(StowfastError):
                yield Delete((key,))
            raise
        yield Delete((key,))
    return Raced(2 * rounds, unsaid, empty, broken)


class _Came(NamedTuple):
    token: Token
    unsaid: bool
    empty: int
    broken: str | None


def _race(key: str, condition: Condition | Token, verb: str, writers: int, pace: float) -> Steps[_Came]:
    tried: set[bytes] = set()  # in every attempt: what got no answer may be written later
    for empty in range(_TRIES):
        bodies = [f"{verb} {empty} {writer}".encode() for writer in range(writers)]
        tried.update(bodies)
        told: list[Token | None] = yield All([Put(key, body, condition) for body in bodies])
        winners = {body: token for body, token in zip(bodies, told, strict=True) if token is not None}
        found: Object | None = yield Get(key)
        yield Pause(pace)
        if winners:
            broken = _judge(list(winners), found and found.body)
            return _Came(found.token if found else next(iter(winners.values())), False, empty, broken)
        if found is not None and found.body in tried:
            return _Came(found.token, True, empty, None)
        yield Pause(_BUSY)
    raise UnavailableError(f"{key}: {writers} writers tried {_TRIES} times to {verb} it, and none could")


def _judge(winners: list[bytes], there: bytes | None) -> str | None:
    if len(winners) > 1:
        return f"{len(winners)} writers were told that they have won"
    if winners[0] != there:
        return "one writer was told that it has won, and what is there is not its"
    return None
