"""Sweeping: removing for good what nobody can reach, without taking what somebody is about to refer to.

Source: the boundary of SlateDB's RFC 26, and the garbage collection of icechunk's design document 11: fence, then
delete.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.abc import Swept
from stowfast.backends.objects.protocol.commit import replace
from stowfast.backends.objects.protocol.draft import CONDEMNED_REMEMBERED, Draft
from stowfast.backends.objects.protocol.keys import DATA, HEADS, MARKER, is_blob, is_file, keys_at, keys_of
from stowfast.backends.objects.protocol.load import VanishedError, linked, read_head, reread_head
from stowfast.backends.objects.protocol.marker import read_marker
from stowfast.backends.objects.protocol.requests import Delete, Get, List, Pause
from stowfast.backends.objects.protocol.state import EXPIRING, GONE, QUIET, SMALLEST, decode_header
from stowfast.backends.objects.protocol.tombstones import Tombstone
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stowfast.backends.objects.protocol.keys import StreamKeys
    from stowfast.backends.objects.protocol.requests import Environment, Item, Steps
    from stowfast.backends.objects.protocol.state import State

__all__ = ["Survey", "SweepItem", "delete_garbage", "survey", "sweep_stream"]

_SPARED: Final = 86_400 * 1_000_000
_DELETED_TOGETHER: Final = 1_000
_LIFE: Final = re.compile(r"[0-9a-f]{8,}")


class SweepItem(NamedTuple):
    """A stream for a sweep, and the keys in its folder when the bucket was listed."""

    place: StreamKeys
    items: tuple[Item, ...]


class Survey(NamedTuple):
    """The findings of a sweep in a listing of the bucket."""

    litter: list[SweepItem]
    """The streams that expire or have keys in their folder."""
    folders: list[str]
    """The folders of heads."""
    tombstones: list[Tombstone]
    """Those without a key in the folder of their stream."""


def survey() -> Steps[Survey]:
    """List the bucket.

    Only what has the form of a key of ours is looked at: the bucket may have other users.

    Raises:
        DamagedError: there are objects of ours, and no marker that says that a store begins here.
    """
    marked = yield from read_marker()
    heads = [(place, item) for place, item in _ours((yield List(HEADS)).items) if item.size >= SMALLEST]
    folders: dict[StreamKeys, list[Item]] = {place: [] for place, item in heads if item.size % 4 in {EXPIRING, QUIET}}
    for place, item in _ours((yield List(DATA)).items):
        folders.setdefault(place, []).append(item)
    # A store that began meanwhile has written its marker before its first head: so it is read once more.
    if not marked and (heads or folders) and not (yield from read_marker()):
        raise DamagedError(f"nothing was swept: the marker {MARKER} is gone. Open the store again, and write to it")
    kinds = sorted({f"{HEADS}{place.kind}/" for place, _ in heads})
    litter = [SweepItem(place, tuple(items)) for place, items in folders.items()]
    # The heads were listed before the folders: what was in the folder of a tombstone as old as a week was seen there.
    gone = [Tombstone(place, item) for place, item in heads if item.size % 4 == GONE and place not in folders]
    return Survey(litter, kinds, gone)


def _ours(items: Sequence[Item]) -> Iterator[tuple[StreamKeys, Item]]:
    return ((place, item) for item in items if (place := keys_at(item.key)) is not None)


def delete_garbage(name: str, files: Sequence[str]) -> Steps[None]:
    """Delete what lies in the grave of a head that was written, or what none refers to and none ever will."""
    folder = keys_of(name).folder
    for first in range(0, len(files), _DELETED_TOGETHER):
        # A head that names anything else was not written by us.
        keys = tuple(folder + file for file in files[first : first + _DELETED_TOGETHER] if is_file(file))
        if keys:
            yield Delete(keys)


def sweep_stream(litter: SweepItem, environment: Environment, *, dry_run: bool = False) -> Steps[Swept]:
    """Remove what nobody can reach of one stream. The bucket was listed before, so what is new is not in the list.

    1. An expired stream is deleted.
    2. Segments of past lives go at once: a life that is over never comes back.
    3. What the head does not refer to and is a day old is condemned, in the head: whoever wanted to refer to it has to
       replace that head, has lost the race, and will see it there. It goes into the grave.
    4. What is in the grave is deleted, and then taken out of it.

    Where another writer is faster, the rest is left to the next sweep. A dry run changes nothing: its one write is the
    object below `clock/` by which the store is asked for its time, if a stream may have expired.
    """
    name = yield from _name(litter.place)
    if name is None:
        return Swept(0, 0)
    state = yield from read_head(name)
    referred: set[str] = set()
    while True:
        draft = Draft(state, environment, {})
        try:
            yield from draft.end_expired()
            if any(is_blob(item.key) for item in litter.items):
                referred = yield from linked(draft.state)
            break
        except VanishedError as error:
            state = yield from reread_head(state, error)
    expired = draft.changed
    place = litter.place
    kept = {place.blob(blob) for blob in referred}
    kept.update(place.segment(state.life, ref.id) for ref in draft.state.segments)
    kept.update(place.folder + file for file in draft.state.grave)
    _, orphans = _sort(litter, state, kept, environment.now() - _SPARED)
    if orphans:
        draft.condemn(orphans)
    if dry_run:
        state = draft.state
    elif draft.changed:
        yield Pause(environment.pace)  # whoever has just written this head was not asked for the pace
        done, state = yield from replace(state, draft.state, environment)
        if not done:
            return Swept(0, 0)
    past, _ = _sort(litter, state, kept, 0)
    doomed = {place.folder + file for file in (*past, *state.grave)}
    gone = [item for item in litter.items if item.key in doomed]
    swept = Swept(int(expired), sum(is_blob(item.key) for item in gone), sum(item.size for item in gone))
    if dry_run:
        return swept
    yield from delete_garbage(name, past)
    if state.grave:
        yield from delete_garbage(name, state.grave)
        draft = Draft(state, environment, {}, buried=state.grave)
        yield Pause(environment.pace)
        yield from replace(state, draft.state, environment)
    return swept


def _name(place: StreamKeys) -> Steps[str | None]:
    """Return the name of a stream. None: the name is too long for its key, and no head holds it."""
    if place.name is not None:
        return place.name
    head = yield Get(place.head)
    state = decode_header(None, head.body, head.token, head.size) if head is not None else None
    return state.name if state is not None and keys_of(state.name) == place else None


def _sort(litter: SweepItem, state: State, kept: set[str], spared: int) -> tuple[list[str], list[str]]:
    """Return what is of a past life, and what else is not kept and was there before `spared`."""
    past, orphans = [], []
    folder = litter.place.folder
    for item in litter.items:
        if item.key in kept:
            continue
        file = item.key.removeprefix(folder)
        if _is_past(file, state):
            past.append(file)
        elif item.modified < spared:
            orphans.append(file)
    return past, orphans[:CONDEMNED_REMEMBERED]


def _is_past(file: str, state: State) -> bool:
    life = file.partition("/")[0]
    if not _LIFE.fullmatch(life):
        return False
    # A life that has not begun yet may already have segments: they are written before the head that refers to them.
    return int(life, 16) < state.life or (state.head is None and int(life, 16) == state.life)
