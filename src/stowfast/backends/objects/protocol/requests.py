"""The requests of the protocol to an object store, as values. The driver performs them.

The protocol consists of generators: they yield a request and are sent its result. So the same code runs over a real
store, over a store with injected faults, and under a simulator that orders the effects of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from stowfast.errors import InvalidError, StowfastError
from stowfast.names import steady_clock

__all__ = [
    "ABSENT",
    "ANY",
    "UNCHANGED",
    "All",
    "BehindEndError",
    "Condition",
    "Delete",
    "Environment",
    "Get",
    "Item",
    "Items",
    "Limits",
    "List",
    "Moment",
    "Object",
    "Pause",
    "Put",
    "Remove",
    "Request",
    "Steps",
    "Token",
    "drive",
]

R = TypeVar("R")


class BehindEndError(InvalidError):
    """A range begins where the object has ended."""


class Token(NamedTuple):
    """The identity of the content of a key. Stores compare the ETag; Google compares the version (its generation)."""

    e_tag: str | None
    version: str | None


class Condition(Enum):
    """A condition of a PUT other than a token."""

    ANY = "any"
    ABSENT = "absent"


ANY: Final = Condition.ANY
ABSENT: Final = Condition.ABSENT


class Unchanged(Enum):
    """The answer to a GET whose `unless` still matches."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


class Object(NamedTuple):
    """The bytes `start <= offset < start + len(body)` of a key at `token`. `size` is that of the whole object."""

    body: bytes
    token: Token
    size: int


class Item(NamedTuple):
    """One key of a listing. `modified` is microseconds since 1970 by the store's clock, often in whole seconds."""

    key: str
    size: int
    modified: int
    e_tag: str | None = None
    """The ETag of the listed content; None if the store does not report it."""


class Items(NamedTuple):
    """Keys of a listing. Complete: there are no more after the last."""

    items: list[Item]
    complete: bool


class Get(NamedTuple):
    """Read a key, or a range of it. Result: `Object`; None where there is no such key; `UNCHANGED`.

    `stop` may lie beyond the end; `start` beyond it is a BehindEndError. No answer is UnavailableError. With `fresh` no
    cache may answer.
    """

    key: str
    unless: Token | None = None
    start: int = 0
    stop: int | None = None
    fresh: bool = False


class Put(NamedTuple):
    """Write a key whole. Result: its new token.

    With `ABSENT` or a token the request is sent once. The result is None without a proof of the write: it was refused,
    or may have been, or the answer was lost. It may still be written later. Read the key back.
    With `ANY` the key is unique to this call: the request is repeated until there is an answer, or UnavailableError.
    """

    key: str
    body: bytes
    condition: Condition | Token = ANY


class Delete(NamedTuple):
    """Remove keys. Result: None. A missing key is fine. No answer is UnavailableError."""

    keys: tuple[str, ...]


class Remove(NamedTuple):
    """Remove a key while it has the content of a token. Sent once. Result: True, if the store says so.

    None: refused, or perhaps done, or done later: no proof. Only after `tombstones.prove_removal`.
    """

    key: str
    token: Token


class List(NamedTuple):
    """List the keys with the prefix `prefix`, which ends with a slash, after the key `after`. Result: `Items`.

    With `enough` the result may end early, once it has so many keys; they are then the first ones, in ascending order.
    A store without an order ignores `enough`. No answer is UnavailableError.
    """

    prefix: str
    after: str | None = None
    enough: int | None = None


class Pause(NamedTuple):
    """Wait, to give other writers a turn. Result: None."""

    seconds: float


class All(NamedTuple):
    """Do these side by side. Result: the list of their results."""

    requests: Sequence[Get | Put | Delete | Remove | List]


Request: TypeAlias = Get | Put | Delete | Remove | List | Pause | All

Steps: TypeAlias = Generator[Request, Any, R]
"""A protocol run: yields requests, is sent their results, returns an R."""


class Limits(NamedTuple):
    """Size limits, in bytes before compression. A simulator makes them small."""

    tail: int = 64 * 2**10
    """Bytes of a tail above which maintenance moves its older part into a segment."""
    kept: int = 16 * 2**10
    """Bytes of a tail that stay after a move: the newest entries, readable with the head alone."""
    newest: int = 256 * 2**10
    """Bytes of the newest frame up to which it stays alone: reads want it most."""
    head: int = 512 * 2**10
    """Bytes of a tail that a PUT may carry: above, its older part is moved first."""
    block: int = 2**20
    """Bytes of one block of a segment. A block is read and checked as a whole."""
    growing: int = 2**20
    """Bytes of a segment up to which the next part is merged into it."""
    segment: int = 16 * 2**20
    """Bytes of a segment from which it is no longer merged."""
    worth: int = 24
    """Commits for each PUT of a seal, as far as a head of half the largest size can hold them."""
    fan_in: int = 4
    """Full segments of one size that are merged into one."""
    cold: bool = False
    """True: the limits of a cold stream."""
    commits: int = 64
    """Newest commits whose ids a head keeps, for lost answers."""


_A_DAY: Final = 86_400 * 1_000_000


class Moment(NamedTuple):
    """A moment by two clocks: one may be set, the other may stand still while a machine sleeps."""

    now: int
    steady: int


class Environment(NamedTuple):
    """Clock, ids, chance and limits of the protocol. A simulator sets these, too."""

    now: Callable[[], int]
    """Microseconds since 1970."""
    new_id: Callable[[], str]
    """Returns a new unique id: at least 64 random bits as lower-case hex."""
    random: Callable[[], float]
    """A number from 0 up to 1, for jitter."""
    limits: Limits = Limits()
    pace: float = 0.0
    """Minimum seconds between two changes of one object."""
    store_now: Callable[[], int] | None = None
    """The time of the store, if it can be asked: a second opinion before a stream counts as expired."""
    steady: Callable[[], int] = steady_clock
    """Microseconds of a steady clock, for waits: a clock set back must not make them longer."""

    def moment(self) -> Moment:
        """Return this moment, for `outlived`."""
        return Moment(self.now(), self.steady())

    def outlived(self, since: Moment) -> bool:
        """Say whether a head seen at a moment is too old to decide by: more than a day, by one of the clocks.

        A stream deleted since then may have lost its tombstone, a week later, and have begun anew from the first life.
        """
        return abs(self.now() - since.now) > _A_DAY or self.steady() - since.steady > _A_DAY


def drive(steps: Steps[R], perform: Callable[[Request], Any]) -> R:
    """Perform the requests of the steps in order, and return their result.

    A StowfastError is thrown into the steps, which may catch it.
    """
    try:
        request = next(steps)
        while True:
            try:
                result = perform(request)
            except StowfastError as error:
                request = steps.throw(error)
            else:
                request = steps.send(result)
    except StopIteration as end:
        value: R = end.value
        return value
    finally:
        steps.close()
