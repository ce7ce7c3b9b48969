"""Protocols and stores that are broken in one place each. A simulator that does not notice would prove nothing."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from stowfast.backends.objects.protocol import commit, draft, listing, load, read, sweep, tombstones
from stowfast.backends.objects.protocol.keys import HEADS, StreamKeys, keys_at, keys_of
from stowfast.backends.objects.protocol.requests import ABSENT, Delete, Environment, List, Pause, Put, Remove
from stowfast.backends.objects.protocol.state import GONE
from stowfast.errors import DamagedError, UnavailableError
from tests.simulator import process
from tests.simulator.bucket import Bucket, Stored
from tests.simulator.drafts import Outcomes
from tests.simulator.run import simulate
from tests.simulator.scheduler import DAY
from tests.simulator.slots import play_slots

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from stowfast.backends.objects.protocol.commit import Committed
    from stowfast.backends.objects.protocol.requests import Steps
    from stowfast.backends.objects.protocol.state import State

__all__ = ["VARIANTS", "IgnoresRemovals", "Variant", "refused"]


class Variant(NamedTuple):
    """Something that must be caught within some seeds."""

    seeds: int
    broken: Callable[[], AbstractContextManager[Any]] = nullcontext
    bucket: type[Bucket] = Bucket
    focus: str | None = None
    play: Callable[..., Counter[str]] | None = None
    caught: int = 0
    """The seed that caught it last, if it is a high one: it is tried first. A change of the protocol may move it."""

    def run(self, seed: int) -> None:
        """Play one history.

        Raises:
            Violation: it was caught.
        """
        with self.broken():
            if self.play is not None:
                self.play(seed)
            else:
                simulate(seed, self.bucket, focus=self.focus)


# Stores


class _IgnoresIfMatch(Bucket):
    def allows(self, request: Put, found: Stored | None) -> bool:
        return request.condition is not ABSENT or found is None


class _IgnoresIfNoneMatch(Bucket):
    def allows(self, request: Put, found: Stored | None) -> bool:
        return request.condition is ABSENT or super().allows(request, found)


class _EverRefusing(Bucket):
    """Its ETags are of another form in a listing or a header than in a condition, say unquoted: none ever matches."""

    def allows(self, request: Put, found: Stored | None) -> bool:
        return not isinstance(request.condition, tuple) and super().allows(request, found)


# The sweep


def _no_fence() -> AbstractContextManager[Any]:
    """What nothing refers to is deleted at once, and nobody who is about to refer to it is told."""
    sort = sweep._sort
    held: dict[int, list[str]] = {}

    def sort_all(litter: Any, *args: Any) -> tuple[list[str], list[str]]:
        # It is asked twice: first for what is to be condemned, then for what can be deleted without.
        past, orphans = sort(litter, *args)
        if id(litter) not in held:
            held[id(litter)] = orphans
            return past, []
        return [*past, *held.pop(id(litter))], []

    return patch.object(sweep, "_sort", sort_all)


def _unborn_is_past() -> AbstractContextManager[Any]:
    """A first commit that is large writes its segments before its head: they are taken for those of a past life."""
    is_past = sweep._is_past

    def not_this_life(file: str, state: State) -> bool:
        life = file.partition("/")[0]
        return is_past(file, state) or (life != "b" and int(life, 16) > state.life)

    return patch.object(sweep, "_is_past", not_this_life)


@contextmanager
def _grave_cleared_too_early() -> Iterator[None]:
    """What should have been deleted is forgotten, whether or not there was an answer."""
    delete_garbage = sweep.delete_garbage

    def delete_blindly(*args: Any) -> Steps[None]:
        with suppress(UnavailableError):
            yield from delete_garbage(*args)

    with patch.object(sweep, "delete_garbage", delete_blindly), patch.object(process, "delete_garbage", delete_blindly):
        yield


def _long_names_are_left() -> AbstractContextManager[Any]:
    """A name that its key does not tell is passed over."""

    def name(place: Any) -> Steps[str | None]:
        yield Pause(0)
        told: str | None = place.name
        return told

    return patch.object(sweep, "_name", name)


def _directories_are_not_tidied() -> AbstractContextManager[Any]:
    """A sweep leaves directories as they are."""

    def tidy(folder: str, environment: Any) -> Steps[bool]:
        yield Pause(0)
        return True

    return patch.object(process, "tidy", tidy)


@contextmanager
def _any_key_is_ours() -> Iterator[None]:
    """What lies below our folders is ours."""

    def keys_at(key: str) -> StreamKeys | None:
        _, kind, rest, *_ = [*key.removesuffix("!.sfh").split("/"), "", ""]
        place = StreamKeys(kind, rest)
        with suppress(DamagedError):
            return place if place.name != "" else None
        return None

    with (
        patch.object(sweep, "keys_at", keys_at),
        patch.object(listing, "keys_at", keys_at),
        patch.object(sweep, "is_file", lambda _: True),
    ):
        yield


# Condemned


@contextmanager
def _hidden(draft_of: Any) -> Iterator[None]:
    condemned = draft_of._now.condemned
    draft_of._now = draft_of._now._replace(condemned=())
    try:
        yield
    finally:
        draft_of._now = draft_of._now._replace(condemned=condemned)


def _condemned_is_swapped_in() -> AbstractContextManager[Any]:
    """A sealer refers to a segment that a sweep has condemned."""
    swap = draft.Draft.swap

    def swap_all(self: Any, sealed: Any) -> bool:
        with _hidden(self):
            return swap(self, sealed)

    return patch.object(draft.Draft, "swap", swap_all)


def _condemned_is_linked() -> AbstractContextManager[Any]:
    """A writer refers to a blob of its own that a sweep has condemned."""
    check = draft.Draft._check_blob

    def check_all(self: Any, *args: Any, **options: Any) -> Steps[None]:
        with _hidden(self):
            yield from check(self, *args, **options)

    return patch.object(draft.Draft, "_check_blob", check_all)


def _condemned_is_forgotten() -> AbstractContextManager[Any]:
    """What was condemned is remembered until it was deleted. Then an upload that comes once more brings it back."""
    begin = draft.Draft.__init__

    def begin_forgetful(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self._now = self._now._replace(condemned=tuple(key for key in self._now.condemned if key in self._now.grave))

    return patch.object(draft.Draft, "__init__", begin_forgetful)


# The read-back


def _no_window() -> AbstractContextManager[Any]:
    """A writer whose answer was lost does not see that a head was its own."""

    def never(state: State, written: State, seen: State, *_: Any) -> Steps[tuple[bool, State]]:
        yield Pause(0)
        return False, seen

    return patch.object(commit, "_was_made", never)


def _others_are_forgotten() -> AbstractContextManager[Any]:
    """A head tells its own id alone, as that of a writer does who knows all commits before to be its own."""
    return patch.object(draft, "recent_ids", lambda *given: (given[2],))


@contextmanager
def _silence_is_no() -> Iterator[None]:
    """A commit whose id is not told was not made, however many commits came since."""
    was_made = commit._was_made

    def no(state: State, written: State, seen: State, _: int) -> Steps[tuple[bool | None, State]]:
        return (yield from was_made(state, written, seen, 10**9))

    with patch.object(commit, "_was_made", no):
        yield


def _unknown_is_no() -> AbstractContextManager[Any]:
    """A commit of which nobody can tell is taken for one that was not made: it is made again, its uploads deleted."""
    replace = commit.replace

    def replace_surely(*args: Any) -> Steps[tuple[bool | None, State]]:
        done, state = yield from replace(*args)
        return bool(done), state

    return patch.object(commit, "replace", replace_surely)


def _unknown_is_not_swapped() -> AbstractContextManager[Any]:
    """The segments of a commit of which nobody can tell are taken for unused."""

    def commit_blindly(*args: Any, **options: Any) -> Steps[Committed]:
        done = yield from commit.commit(*args, **options)
        return done if isinstance(done.outcomes, Outcomes) else done._replace(refused=options["sealed"])

    return patch.object(process, "commit", commit_blindly)


def _no_op_ids() -> AbstractContextManager[Any]:
    """A repeat is made again."""

    def known(self: Any, op_id: str) -> Steps[None]:
        yield Pause(0)

    return patch.object(draft.Draft, "known", known)


# The head


def _head_deleted() -> AbstractContextManager[Any]:
    """A tombstone is deleted, as nothing is left in it."""
    replace = commit.replace

    def replace_and_tidy(state: State, written: State, *args: Any) -> Steps[tuple[bool | None, State]]:
        done, seen = yield from replace(state, written, *args)
        if done and written.head is None:
            yield Delete((keys_of(state.name).head,))
        return done, seen

    return patch.object(commit, "replace", replace_and_tidy)


# The end of tombstones


class IgnoresRemovals(Bucket):
    """It removes a key, whatever its content. The proof finds that out, where it is asked for."""

    keeps_removals = False

    def allows_removal(self, request: Remove, found: Stored) -> bool:
        return True


def _nothing_is_proved() -> AbstractContextManager[Any]:
    """A sweep removes without a proof."""

    def proved(environment: Any) -> Steps[bool]:
        yield Pause(0)
        return True

    return patch.object(process, "prove_removal", proved)


@contextmanager
def _removed_without_condition() -> Iterator[None]:
    """A tombstone that was read is removed by a DELETE without a condition."""
    remove = tombstones.remove_tombstone

    def remove_blindly(found: Any) -> Steps[bool]:
        steps = remove(found)
        answer = yield next(steps)
        with suppress(StopIteration):
            request = steps.send(answer)
            yield Pause(0)
            yield Delete((request.key,))  # type: ignore[union-attr]
        return True

    with patch.object(process, "remove_tombstone", remove_blindly):
        yield


def _age_is_not_asked() -> AbstractContextManager[Any]:
    """A tombstone is removed by the next sweep."""
    return patch.object(process, "is_old", lambda found, _: found.item.size % 4 == GONE)


@contextmanager
def _age_of_a_day() -> Iterator[None]:
    """A tombstone is removed after a day."""
    with patch.object(tombstones, "TOMBSTONES_LIVE", DAY):
        yield


@contextmanager
def _litter_is_left() -> Iterator[None]:
    """A tombstone is removed, whatever lies in the folder of its stream."""
    look = sweep.survey

    def look_away() -> Steps[sweep.Survey]:
        found = yield from look()
        heads = (yield List(HEADS)).items
        every = [tombstones.Tombstone(place, one) for one in heads if (place := keys_at(one.key)) is not None]
        return found._replace(tombstones=[one for one in every if one.item.size % 4 == GONE])

    with patch.object(process, "survey", look_away):
        yield


def _memory_has_no_bound() -> AbstractContextManager[Any]:
    """A process decides by a head, or by an upload, that it saw weeks ago."""
    return patch.object(Environment, "outlived", lambda *_: False)


@contextmanager
def _origins_are_not_told_apart() -> Iterator[None]:
    """A process that knows the tombstone takes a stream begun anew for one that went back."""
    read_head = load.read_head

    def read_strictly(name: str, known: State | None = None) -> Steps[State]:
        state = yield from read_head(name, known)
        if known is not None and state.token is not None and state.commit < known.commit:
            raise DamagedError(f"{name!r} went back")
        return state

    with patch.object(commit, "read_head", read_strictly), patch.object(read, "read_head", read_strictly):
        yield


def refused(seed: int) -> Counter[str]:
    """Play one history over a store that refuses every update, in which nothing can be swept."""
    return simulate(seed, _EverRefusing, swept=False)


VARIANTS = {
    "no fence": Variant(2_000, _no_fence),
    "condemned segments are swapped in": Variant(5_000, _condemned_is_swapped_in, caught=210),
    "condemned blobs are linked": Variant(5_000, _condemned_is_linked, caught=111),
    "condemned blobs are forgotten once deleted": Variant(5_000, _condemned_is_forgotten, focus="blobs"),
    "long names are never swept": Variant(500, _long_names_are_left),
    "unborn lives are taken for past ones": Variant(2_000, _unborn_is_past, caught=114),
    "the grave is cleared too early": Variant(5_000, _grave_cleared_too_early, focus="blobs", caught=446),
    "directories are not tidied": Variant(500, _directories_are_not_tidied),
    "any key below our folders is taken for ours": Variant(500, _any_key_is_ours),
    "no commit window": Variant(500, _no_window),
    "ids of others are forgotten": Variant(5_000, _others_are_forgotten, focus="calls", caught=262),
    "silence is taken for no": Variant(5_000, _silence_is_no, focus="stalls"),
    "unknown is taken for no": Variant(5_000, _unknown_is_no, focus="stalls", caught=665),
    "unknown is taken for not swapped": Variant(5_000, _unknown_is_not_swapped, focus="stalls", caught=665),
    "no memory of op_ids": Variant(500, _no_op_ids),
    "a tombstone is deleted": Variant(500, _head_deleted),
    "a removal ignores its condition": Variant(
        2_000, _nothing_is_proved, bucket=IgnoresRemovals, focus="ends", caught=463
    ),
    "a tombstone is removed without a condition": Variant(500, _removed_without_condition, focus="ends"),
    "a tombstone is removed by the next sweep": Variant(500, _age_is_not_asked, focus="ends"),
    "a tombstone is removed after a day": Variant(2_000, _age_of_a_day, focus="ends"),
    "a tombstone is removed from its litter": Variant(5_000, _litter_is_left, focus="ends", caught=839),
    "memory has no bound": Variant(2_000, _memory_has_no_bound, focus="ends"),
    "origins are not told apart": Variant(5_000, _origins_are_not_told_apart, focus="ends", caught=2486),
    "If-Match is ignored": Variant(500, bucket=_IgnoresIfMatch),
    "If-None-Match is ignored": Variant(500, bucket=_IgnoresIfNoneMatch),
    "numbered slots": Variant(500, play=play_slots),
}
