"""The commit path: one conditional PUT of the head, and the way to find out whether it was done after a lost answer.

Source: a synthesis of how SlateDB and Apache Iceberg's icechunk read back a write id after a lost answer, simplified
because our body carries the ids itself; the fence before a deletion is that of SlateDB's RFC 26.
"""

from __future__ import annotations

from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.objects.protocol.draft import Draft, commit_id
from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.load import VanishedError, frame_at, read_head, reread_head
from stowfast.backends.objects.protocol.requests import ABSENT, UNCHANGED, Delete, Get, Pause, Put
from stowfast.backends.objects.protocol.state import State, decode_state, encode_state, is_ours
from stowfast.errors import DamagedError, StowfastError, UnavailableError
from stowfast.semantics import ends_damaged

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stowfast.abc import Change, Receipt
    from stowfast.backends.objects.protocol.requests import Environment, Moment, Steps
    from stowfast.backends.objects.protocol.seal import Sealed

__all__ = ["Committed", "commit", "replace"]

PATIENCE: Final = 60_000_000
"""Microseconds until a writer without success gives up."""

_MAX_RACE_PAUSE: Final = 0.12
"""Seconds between two tries of a commit that lost a race."""
_MAX_TROUBLE_PAUSE: Final = 2.0
"""Seconds between two tries of a PUT without an answer."""


class Committed(NamedTuple):
    """The result of a batch of changes."""

    state: State
    """The head as it was written, or as it was read if nothing had to be written. A later one may exist."""
    outcomes: Sequence[Receipt | StowfastError]
    before: State
    """The head before the commit."""
    refused: Sequence[Sealed]
    """Segments from `sealed` that no head refers to, now or later."""
    id: str = ""
    """The id of the commit, if known to be made."""


def commit(
    name: str,
    known: State | None,
    changes: Sequence[Change],
    environment: Environment,
    *,
    written: Mapping[str, int] = MappingProxyType({}),
    buried: Collection[str] = frozenset(),
    sealed: Sequence[Sealed] = (),
    settled: str = "",
    stale: bool = False,
) -> Steps[Committed]:
    """Make changes of one stream, all in one PUT of its head, in the given order.

    Args:
        name: the stream.
        known: the head as last seen; None: never seen.
        changes: each with its own outcome. A refused change changes nothing; the others are made.
        environment: clock, ids, chance and limits.
        written: blobs written by this process, each with `State.dropped` as known then.
        buried: garbage of the head that is known to be deleted.
        sealed: segments to use in place of their sources, if all sources are still in the head.
        settled: `Committed.id` of this writer's last commit of the stream. The head need not remember it any more.
        stale: True if `known` is old, so that a GET answered by 304 is worth its time.

    Raises:
        UnavailableError: the outcome is unknown. Calls with an op_id can be repeated.
    """
    if known is None and changes and all(change.expect == 0 for change in changes):
        # A guess, proved by the condition of the PUT: these callers expect a new stream.
        known = State(name)
    # After a lost answer the log tells whether a change with entries was made. A change without entries leaves no such
    # trace, so it starts from a fresh head, not from one that others replaced a hundred commits ago.
    asked = known is None or (known.token is not None and (stale or not all(change.entries for change in changes)))
    state = (
        known if known is not None and not asked else (yield from _head_to_change(name, known, changes, environment))
    )
    began, lost, incomplete = environment.steady(), 0, ""
    since = environment.moment()
    while True:
        draft = Draft(state, environment, written, buried, settled=settled, incomplete=incomplete == state.id)
        try:
            refused = [one for one in sealed if not draft.swap(one)]
            outcomes = yield from draft.make(changes)
        except VanishedError:
            # A newer head was written; if not, only the calls fail that need the missing object.
            yield from _discard(draft)
            incomplete = state.id
            state, asked = (yield from read_head(name, state)), True
            continue
        if draft.unsure and not asked:
            yield from _discard(draft)
            state, asked = (yield from read_head(name, state)), True
            continue
        if not draft.changed:
            yield from _discard(draft)
            return Committed(state, outcomes, state, refused)
        done, seen = yield from replace(state, draft.state, environment, since)
        if done:
            return Committed(seen, outcomes, state, refused, draft.state.id)
        if done is None:
            return Committed(seen, (yield from _repeated(seen, changes, environment)), state, refused)
        yield from _discard(draft)
        lost += 1
        if environment.steady() - began > PATIENCE:
            raise UnavailableError(f"{name!r}: lost {lost} races against other writers and was not made: repeat it")
        state, asked, since = seen, True, environment.moment()
        yield Pause(max(environment.pace, environment.random() * min(_MAX_RACE_PAUSE, 0.02 * 2**lost)))


def _head_to_change(
    name: str, known: State | None, changes: Sequence[Change], environment: Environment
) -> Steps[State]:
    """Read the head. For a delete without a condition, a damaged one is replaced by that of a deleted stream."""
    try:
        return (yield from read_head(name, known))
    except DamagedError:
        if not changes or not all(map(ends_damaged, changes)):
            raise
        found = yield Get(keys_of(name).head, fresh=True)
        if found is None or found is UNCHANGED or not is_ours(found.body):
            raise
        with suppress(DamagedError):  # it was damaged on the way
            return decode_state(name, found.body, found.token)
    # No number of the damaged head is trusted. The moment is above all lives and commits that a stream can have: so
    # every stored segment is of a past life, and whoever knows an earlier head sees that this one came later.
    now = max(environment.now(), known.commit + 1 if known is not None else 0)
    damaged = State(name, found.token)
    written = damaged._replace(life=now, commit=now, recent=(commit_id(environment),))
    _, seen = yield from replace(damaged, written, environment)
    return seen


def replace(
    state: State, written: State, environment: Environment, since: Moment | None = None
) -> Steps[tuple[bool | None, State]]:
    """Replace one head by another, and return the outcome and the head as it is now.

    `since`: the objects of the new head were written for it since then. A stream begun, deleted and removed in between
    may have taken them along. Without a head before, no token tells of that: there a day is the bound.

    True: done; later commits may have followed. False: not done, now or later, because another head was written first.
    None: unknown, because more commits followed than a head remembers; the objects of the new head may be in use.

    Raises:
        UnavailableError: it may have been done, or may still be done later.
    """
    put = Put(keys_of(state.name).head, encode_state(written), ABSENT if state.token is None else state.token)
    began, tries = environment.moment(), 0
    if state.token is None and since is not None and environment.outlived(since):
        return False, (yield from read_head(state.name, state))
    while True:
        try:
            token = yield put
            if token is not None:
                return True, written._replace(token=token)
            tries += 1
            seen = yield from read_head(state.name, state)
            if environment.outlived(began) and written.id not in seen.recent:
                # It may have been made, deleted, and removed with its tombstone.
                raise UnavailableError("asked too late")
            if seen.id != state.id:
                return (yield from _was_made(state, written, seen, environment.limits.commits))
        except StowfastError as error:
            if not tries:
                raise
            # A later refusal, such as expired credentials, says nothing about the first PUT.
            raise UnavailableError(
                f"{state.name!r}: no answer to a commit, nor to the question whether it was made: "
                "repeat it with the same op_id"
            ) from error
        # Not done, or not yet. The same bytes with the same token can be sent again: at most one of the PUTs wins.
        if environment.steady() - began.steady > PATIENCE:
            raise UnavailableError(f"{state.name!r}: the store took none of {tries} tries of a commit: repeat it")
        yield Pause(max(environment.pace, environment.random() * min(_MAX_TROUBLE_PAUSE, 0.05 * 2**tries)))


def _was_made(state: State, written: State, seen: State, remembered: int) -> Steps[tuple[bool | None, State]]:
    """Return True if a head was written between `state` and `seen`, False if not, None if this cannot be known.

    A head tells the ids of its `remembered` newest commits, without those known to their own writers.
    """
    while True:
        if written.id in seen.recent:
            return True, seen
        if seen.commit - state.commit <= remembered:
            return False, seen
        if state.token is None:
            return seen.origin == written.id, seen  # it would have been the first commit
        if state.head is None or written.head is None or seen.head is None:
            return None, seen
        position = state.head.next
        if {state.head.incarnation} != {written.head.incarnation, seen.head.incarnation}:
            return None, seen
        if written.head.next == position:
            return None, seen
        if seen.head.next <= position:
            return False, seen  # no entry was added since, and a position is never used twice
        try:
            found = yield from frame_at(seen, position)
        except VanishedError as error:
            seen = yield from reread_head(seen, error)
            continue
        if found is None or not found.by:
            return None, seen
        return found.by == written.id, seen


def _repeated(
    state: State, changes: Sequence[Change], environment: Environment
) -> Steps[list[Receipt | StowfastError]]:
    """Return the outcomes of changes after an unknown PUT: a remembered op_id proves a change, nothing else does."""
    outcomes: list[Receipt | StowfastError] = []
    for change in changes:
        unknown = UnavailableError(
            f"{state.name!r}: the answer of the store was lost, and so many commits came since that nobody can tell "
            "whether this one was made; a call that has an op_id can be repeated"
        )
        try:
            state, known = yield from _recalled(state, change.op_id, environment)
        except StowfastError as error:
            unknown.__cause__, known = error, None
        outcomes.append(known._replace(repeated=True) if known is not None else unknown)
    return outcomes


def _recalled(state: State, op_id: str | None, environment: Environment) -> Steps[tuple[State, Receipt | None]]:
    while op_id is not None:
        try:
            return state, (yield from Draft(state, environment, {}).known(op_id))
        except VanishedError as error:
            state = yield from reread_head(state, error)
    return state, None


def _discard(draft: Draft) -> Steps[None]:
    if draft.uploads:
        with suppress(StowfastError):  # the sweep deletes them
            yield Delete(tuple(draft.uploads))
