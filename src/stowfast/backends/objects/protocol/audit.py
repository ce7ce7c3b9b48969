"""Looks for damage in objects that no read of a stream meets: marker, deleted and expired streams, indexes.

Only what has the form of a key of ours is looked at. What nothing refers to is not read: blobs and segments of calls
that failed, and what a sweep has yet to delete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.backends.objects.protocol.index import INDEXES, check_index, is_index
from stowfast.backends.objects.protocol.keys import DATA, HEADS, MARKER, is_blob, keys_at, keys_of
from stowfast.backends.objects.protocol.load import WHOLE, VanishedError, reread_head, segments, unexpired
from stowfast.backends.objects.protocol.marker import read_marker
from stowfast.backends.objects.protocol.requests import All, Get, List
from stowfast.backends.objects.protocol.segment import START, check_start
from stowfast.backends.objects.protocol.state import LIVING, SMALLEST, decode_header, decode_state
from stowfast.errors import DamagedError, InvalidError, UnsupportedError
from stowfast.looks import Looked

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.backends.objects.protocol.keys import StreamKeys
    from stowfast.backends.objects.protocol.requests import Environment, Item, Object, Steps

__all__ = ["LOOKS"]

_PAGE: Final = 1_000
_TOGETHER: Final = 16


def _look_at_marker(_: Environment, *, after: None) -> Steps[Looked]:
    try:
        if (yield from read_marker()):
            return Looked([], after)
        items, _complete = yield List(HEADS, None, _PAGE)
        # A store that began meanwhile has written its marker before its first head.
        if not any(keys_at(item.key) for item in items) or (yield from read_marker()):
            return Looked([], after)
    except (InvalidError, UnsupportedError) as error:
        return Looked([(MARKER, str(error))], after)
    return Looked([(MARKER, "the marker is gone, so no sweep deletes anything: the next write makes it anew")], after)


def _look_at_heads(environment: Environment, *, after: str | None) -> Steps[Looked]:
    """Read the heads that a listing leaves out."""
    items, complete = yield List(HEADS, after, _PAGE)
    found = [(place, item) for item in items if (place := keys_at(item.key)) is not None]
    unread = [place for place, item in found if _is_left_out(place, item)]
    damage = list[tuple[str, str]]()
    for first in range(0, len(unread), _TOGETHER):
        group = unread[first : first + _TOGETHER]
        heads = yield All([Get(place.head) for place in group])
        for place, head in zip(group, heads, strict=True):
            reason = (yield from _damage_of(place, head, environment)) if head is not None else ""
            if reason:
                damage.append((place.name or place.head, reason))
    return Looked(damage, None if complete else items[-1].key)


def _is_left_out(place: StreamKeys, item: Item) -> bool:
    """Say whether a listing may not show a head: it is too small, of another kind, or its name is too long."""
    return item.size < SMALLEST or item.size % 4 != LIVING or place.name is None


def _damage_of(place: StreamKeys, head: Object, environment: Environment) -> Steps[str]:
    try:
        name = place.name
        if name is None:
            told = decode_header(None, head.body, head.token, head.size)
            assert told is not None  # the body is whole
            name = told.name
            if keys_of(name) != place:
                return f"the head at {place.head} is that of {name!r}, which has another key"
        state = decode_state(name, head.body, head.token)
        if state.head is not None and unexpired(state, environment) is None:
            for ref in state.segments:
                try:
                    yield from segments(state, [ref])
                except VanishedError as error:
                    yield from reread_head(state, error)
                    break  # it changed meanwhile
    except (DamagedError, UnsupportedError) as error:
        return str(error)
    return ""


def _look_at_segments(_: Environment, *, after: str | None) -> Steps[Looked]:
    """Read the first bytes of segments so large that readers ask for their parts alone. A merge needs all of them."""
    items, complete = yield List(DATA, after, _PAGE)
    places = [(one.key, keys_at(one.key)) for one in items if one.size > WHOLE and not is_blob(one.key)]
    large = [(key, place.name or key) for key, place in places if place is not None]
    damage = list[tuple[str, str]]()
    for first in range(0, len(large), _TOGETHER):
        group = large[first : first + _TOGETHER]
        starts = yield All([Get(key, start=0, stop=START, fresh=True) for key, _name in group])
        for (_key, name), start in zip(group, starts, strict=True):
            try:
                if start is not None:
                    check_start(name, start.body)
            except (DamagedError, UnsupportedError) as error:
                damage.append((name, str(error)))
    return Looked(damage, None if complete else items[-1].key)


def _look_at_indexes(_: Environment, *, after: None) -> Steps[Looked]:
    damage = list[tuple[str, str]]()
    for item in (yield List(INDEXES)).items:
        found = (yield Get(item.key)) if is_index(item.key) else None
        try:
            if found is not None:
                check_index(found.body)
        except (DamagedError, UnsupportedError) as error:
            damage.append((item.key, f"the index {error}: delete this object, a list makes it anew"))
    return Looked(damage, after)


LOOKS: Final[tuple[Callable[..., Steps[Looked]], ...]] = (
    _look_at_marker,
    _look_at_heads,
    _look_at_segments,
    _look_at_indexes,
)
"""Each is called with an environment and `after`, until it returns None there."""
