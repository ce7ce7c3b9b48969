"""Heads of many streams, and listings of their names: a LIST of a bucket tells a thousand at once."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.abc import Head, Listed, Listing, Query
from stowfast.backends.objects.protocol.index import Index, folder_of, open_index
from stowfast.backends.objects.protocol.keys import HEADS, NO_KIND, keys_at, keys_of, prefix_of
from stowfast.backends.objects.protocol.load import unexpired
from stowfast.backends.objects.protocol.requests import UNCHANGED, All, Get, List
from stowfast.backends.objects.protocol.state import (
    EXPIRING,
    GONE,
    QUIET,
    SMALLEST,
    State,
    decode_header,
    decode_state,
    header_of,
)
from stowfast.cursors import after_cursor
from stowfast.errors import DamagedError, InvalidError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stowfast.backends.objects.protocol.keys import Prefix
    from stowfast.backends.objects.protocol.requests import Environment, Item, Object, Steps

__all__ = ["heads", "listing"]

_START: Final = 2**14
"""Bytes to request from a head for its header alone: nearly always enough."""

_TOGETHER: Final = 64
_FEWEST: Final = 8
_WORTH: Final = 8
"""Heads of one folder for which its index is read."""

_STEPS: Final = (1_000_000, 1_000, 1)
"""Microseconds in which a store does not tell two changes apart: S3 counts seconds, others finer."""
_WINDOW: Final = 64
"""Steps of the store's clock that are laid into one, so that a writer's clock may differ by 32 of them."""


def heads(
    names: Sequence[str], known: Mapping[str, State], environment: Environment
) -> Steps[tuple[list[Head | None], list[State]]]:
    """Read the heads of streams in parallel, and return the whole ones beside them, for the cache."""
    found: list[Head | None] = []
    whole: list[State] = []
    stop = None if len(names) == 1 else _START
    for first in range(0, len(names), _TOGETHER):
        group = names[first : first + _TOGETHER]
        tokens = [known[name].token if name in known else None for name in group]
        requests = [Get(keys_of(name).head, unless=token, stop=stop) for name, token in zip(group, tokens, strict=True)]
        results = yield All(requests)
        for name, result in zip(group, results, strict=True):
            if result is None:
                found.append(None)
                continue
            state = known[name] if result is UNCHANGED else (yield from _header(name, result, keys_of(name).head))
            found.append(unexpired(state, environment) if state is not None else None)
            if state is not None and (result is UNCHANGED or len(result.body) == result.size):
                whole.append(state)
    return found, whole


def _header(name: str | None, start: Object, key: str) -> Steps[State | None]:
    if name is not None and len(start.body) == start.size:
        return decode_state(name, start.body, start.token)
    state = decode_header(name, start.body, start.token, start.size)
    if state is not None:
        return state
    # Its labels and note are large. Only the size of another head than this one can be other than it says.
    again = yield Get(key)
    return None if again is None else decode_header(name, again.body, again.token, again.size)


class _Candidate(NamedTuple):
    """A listed key that may match."""

    name: str
    item: Item

    @property
    def is_quiet(self) -> bool:
        return self.item.size % 4 == QUIET

    def tick(self, step: int) -> int:
        return self.item.modified // step

    def changed_at(self, state: State, step: int) -> int:
        """Return the time of the last change that counts, where the store counts in steps of so many microseconds."""
        if state.head is None:
            return self.item.modified
        written = state.head.updated_at
        begun = self.item.modified
        if state.quiet:
            begun = min(written // step * step, begun)
        # The writer's clock, which may differ by half of the window, orders the changes of one step.
        return begun + min(max(written - begun + _WINDOW * step // 2, 0), _WINDOW * step - 1) // _WINDOW


class _Search(NamedTuple):
    """A query, its parsed cursor, and the indexes that were read for it, by folder."""

    query: Query
    last: Listed | None
    environment: Environment
    indexes: dict[str, Index]


def listing(query: Query, last: Listed | None, environment: Environment) -> Steps[Listing]:
    """List streams, one page at a time.

    Keys alone are enough, except for streams that expire, queries by labels or with heads, and names too long for a
    key: these need the index, or else the heads. Keys are in the order of names, so a page by name reads only its part
    of the listing; a page by recency reads the whole listing, with a request for each thousand keys, and the heads of
    streams that changed in one second.
    """
    folder = prefix_of(query.prefix)
    index = None
    if (query.where or query.heads) and folder.folder != HEADS:
        index = yield from open_index(folder.folder)
    search = _Search(query, last, environment, {} if index is None else {folder.folder: index})
    page = None
    if query.order == "name" and (folder.whole_kind or not query.prefix):
        page = yield from _in_order(search, folder)
    if page is None:
        items = (yield List(folder.folder)).items
        found = yield from _candidates(query, folder, items)
        if query.order == "name":
            found.sort(key=lambda one: one.name)
            found = [one for one in found if last is None or one.name > last.name]
            page = yield from _shown(search, found, query.limit + 1)
        else:
            page = yield from _by_recency(search, found, query.limit + 1)
        if index is not None:
            with suppress(InvalidError):  # these credentials may only read, and an index is a cache
                yield from index.keep(items, environment)
    more = len(page) > query.limit
    page = page[: query.limit]
    return Listing(page, after_cursor(query.order, page[-1]) if page and more else None)


def _all_have_kinds() -> Steps[bool]:
    # Not of their folder alone: a listing of none costs two more requests.
    behind = f"{HEADS}{NO_KIND}"
    return not any(item.key.startswith(f"{behind}/") for item in (yield List(HEADS, behind, 1)).items)


def _in_order(search: _Search, folder: Prefix) -> Steps[list[Listed] | None]:
    """List from the start of the page. None: some names are not in the order of their keys."""
    after = folder.before
    if search.last is not None:
        place = keys_of(search.last.name)
        if not folder.is_orderly(place):
            return None
        after = max(after or "", place.head)
        # Kinds are in the order of names, too, but for streams without one. The first page meets these, no other does.
        if not folder.whole_kind and not (yield from _all_have_kinds()):
            return None
    page: list[Listed] = []
    while True:
        items, complete = yield List(folder.folder, after, search.query.limit + 1)
        if complete and after is None:  # this is all of it
            found = yield from _candidates(search.query, folder, items)
            return (yield from _shown(search, sorted(found, key=lambda one: one.name), search.query.limit + 1))
        places = [keys_at(item.key) for item in items]
        if not all(place is None or folder.is_orderly(place) for place in places):
            return None
        if search.last is None and not (folder.whole_kind or complete) and items[-1].key < f"{HEADS}{NO_KIND}":
            return None
        found = yield from _candidates(search.query, folder, items)
        page += yield from _shown(search, found, search.query.limit + 1 - len(page))
        beyond = any(item.key > folder.head and not item.key.startswith(folder.head) for item in items[-1:])
        if len(page) > search.query.limit or complete or beyond:
            return page
        after = items[-1].key


def _candidates(query: Query, folder: Prefix, items: Sequence[Item]) -> Steps[list[_Candidate]]:
    """Return the keys whose names have the prefix. Names too long for a key are read from their heads."""
    found: list[_Candidate] = []
    long: list[Item] = []
    for item in items:
        place = keys_at(item.key)
        if place is None or item.size < SMALLEST or item.size % 4 == GONE or not folder.may_hold(place):
            continue
        if place.name is None:
            long.append(item)
        elif place.name.startswith(query.prefix):
            found.append(_Candidate(place.name, item))
    for first in range(0, len(long), _TOGETHER):
        group = long[first : first + _TOGETHER]
        starts = yield All([Get(item.key, stop=_START) for item in group])
        for item, start in zip(group, starts, strict=True):
            try:
                state = (yield from _header(None, start, item.key)) if start is not None else None
            except (DamagedError, UnsupportedError):
                continue  # nothing else tells its name
            if state is not None and state.name.startswith(query.prefix):
                found.append(_Candidate(state.name, item))
    return found


def _shown(
    search: _Search, found: Sequence[_Candidate], enough: int, untold: Collection[str] = (), step: int = 1
) -> Steps[list[Listed]]:
    """Return the unexpired candidates with the labels, in order, until there are enough.

    Args:
        untold: the names of streams whose time only their head tells.
        step: microseconds by which the store counts.
    """
    query, page = search.query, list[Listed]()
    rest = list(found)
    while rest and len(page) < enough:
        # Without labels to fit nearly each one is shown: no more are read than the page has room for.
        size = _TOGETHER if query.where else min(_TOGETHER, max(enough - len(page), _FEWEST))
        group, rest = rest[:size], rest[size:]
        kinds = {one.name: one.item.size % 4 for one in group}
        asked = [
            one
            for one in group
            if query.where or query.heads or kinds[one.name] in {EXPIRING, QUIET} or one.name in untold
        ]
        states, damaged = yield from _states(search, asked)
        for one in group:
            head, time = None, one.item.modified
            if one.name in damaged:
                page.append(Listed(one.name, time, damaged=True))
                continue
            if one in asked:
                state = states.get(one.name)
                head = unexpired(state, search.environment) if state is not None else None
                if state is None or head is None or not (query.where or {}).items() <= head.labels.items():
                    continue
                time = one.changed_at(state, step)
            page.append(Listed(one.name, time, head if query.heads else None))
    return page


def _by_recency(search: _Search, found: Sequence[_Candidate], enough: int) -> Steps[list[Listed]]:
    """Return the candidates behind the cursor, the last changed first, until there are enough.

    The heads order the streams that the store's clock does not tell apart. A head that was written without a change
    that counts is of an earlier time than its object.
    """
    last = search.last
    step = next(step for step in _STEPS if all(one.item.modified % step == 0 for one in found))
    begun = None if last is None else last.updated_at // step
    streams_at = Counter(one.tick(step) for one in found)
    quiet_at = {begun}
    rest = sorted(
        (one for one in found if begun is None or one.tick(step) <= begun or one.is_quiet),
        key=lambda one: -one.item.modified,
    )
    known: list[Listed] = []
    while rest:
        size = _TOGETHER
        while size < len(rest) and rest[size].tick(step) == rest[size - 1].tick(step):
            size += 1  # the streams of one time are read together
        group, rest = rest[:size], rest[size:]
        listed = yield from _shown(search, [one for one in group if one.is_quiet], size, (), step)
        quiet_at |= {one.updated_at // step for one in listed}
        plain = [one for one in group if not one.is_quiet]
        untold = {one.name for one in plain if streams_at[one.tick(step)] > 1 or one.tick(step) in quiet_at}
        listed += yield from _shown(search, plain, size, untold, step)
        known += [one for one in listed if last is None or _recency(one) > _recency(last)]
        known.sort(key=_recency)
        certain = (rest[0].tick(step) + 1) * step if rest else 0
        if len(known) >= enough and known[enough - 1].updated_at >= certain:
            break
    return known[:enough]


def _recency(listed: Listed) -> tuple[int, str]:
    return (-listed.updated_at, listed.name)


def _states(search: _Search, asked: Sequence[_Candidate]) -> Steps[tuple[dict[str, State], set[str]]]:
    """Return the states of streams, and the names of those whose head cannot be read."""
    yield from _open_indexes(search, asked)
    states: dict[str, State] = {}
    for one in asked:
        index = search.indexes.get(folder_of(one.item.key))
        state = index.find(one.name, one.item) if index is not None else None
        if state is not None:
            states[one.name] = state
    unknown = [one for one in asked if one.name not in states]
    starts = (yield All([Get(one.item.key, stop=_START) for one in unknown])) if unknown else []
    damaged = set()
    for one, start in zip(unknown, starts, strict=True):
        try:
            state = (yield from _header(one.name, start, one.item.key)) if start is not None else None
        except (DamagedError, UnsupportedError):
            damaged.add(one.name)
            continue
        if state is not None:
            states[one.name] = state
            index = search.indexes.get(folder_of(one.item.key))
            if index is not None:
                index.learn(one.item, header_of(start.body))
    return states, damaged


def _open_indexes(search: _Search, asked: Sequence[_Candidate]) -> Steps[None]:
    """Read the indexes of folders of which many heads are asked. Read after the LIST, they are only looked at."""
    for folder, count in Counter(folder_of(one.item.key) for one in asked).items():
        if count >= _WORTH and folder not in search.indexes:
            search.indexes[folder] = yield from open_index(folder)
