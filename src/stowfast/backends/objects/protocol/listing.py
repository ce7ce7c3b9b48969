"""Heads of many streams, and listings of their names: a LIST of a bucket tells a thousand at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.abc import Head, Listed, Listing, Query
from stowfast.backends.objects.protocol.index import Index, open_index
from stowfast.backends.objects.protocol.keys import HEADS, keys_at, keys_of, prefix_of
from stowfast.backends.objects.protocol.load import unexpired
from stowfast.backends.objects.protocol.requests import UNCHANGED, All, Get, List
from stowfast.backends.objects.protocol.state import (
    EXPIRING,
    GONE,
    SMALLEST,
    State,
    decode_header,
    decode_state,
    header_of,
)
from stowfast.cursors import after_cursor
from stowfast.errors import DamagedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stowfast.backends.objects.protocol.keys import Prefix
    from stowfast.backends.objects.protocol.requests import Environment, Item, Object, Steps

__all__ = ["heads", "listing"]

_START: Final = 2**14
"""Bytes to request from a head for its header alone: nearly always enough."""

_TOGETHER: Final = 64


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
    def recency(self) -> tuple[int, str]:
        return (-self.item.modified, self.name)


class _Search(NamedTuple):
    """A query, its parsed cursor, and the index for it, if any."""

    query: Query
    last: Listed | None
    environment: Environment
    heads_index: Index | None  # `index` is a method of every tuple


def listing(query: Query, last: Listed | None, environment: Environment) -> Steps[Listing]:
    """List streams, one page at a time.

    Keys alone are enough, except for streams that expire, queries by labels or with heads, and names too long for a
    key: these need the index, or else the heads. Keys are in the order of names, so a page by name reads only its part
    of the listing; a page by recency reads the whole listing, with a request for each thousand keys.
    """
    folder = prefix_of(query.prefix)
    index = None
    if (query.where or query.heads) and folder.folder != HEADS:
        index = yield from open_index(folder.folder)
    search = _Search(query, last, environment, index)
    page = None
    if query.order == "name" and folder.whole_kind:
        page = yield from _in_order(search, folder)
    if page is None:
        items = (yield List(folder.folder)).items
        found = yield from _candidates(query, folder, items)
        if query.order == "name":
            found.sort(key=lambda one: one.name)
            found = [one for one in found if last is None or one.name > last.name]
        else:
            found.sort(key=lambda one: one.recency)
            found = [one for one in found if last is None or one.recency > (-last.updated_at, last.name)]
        page = yield from _shown(search, found, query.limit + 1)
        if index is not None:
            yield from index.keep(items, environment)
    more = len(page) > query.limit
    page = page[: query.limit]
    return Listing(page, after_cursor(query.order, page[-1]) if page and more else None)


def _in_order(search: _Search, folder: Prefix) -> Steps[list[Listed] | None]:
    """List from the start of the page. None: some names are not in the order of their keys."""
    after = folder.before
    if search.last is not None:
        place = keys_of(search.last.name)
        if not place.is_orderly:
            return None
        after = max(after or "", place.head)
    page: list[Listed] = []
    while True:
        items, complete = yield List(folder.folder, after, search.query.limit + 1)
        places = [keys_at(item.key) for item in items]
        if not all(place is None or place.is_orderly for place in places):
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


def _shown(search: _Search, found: Sequence[_Candidate], enough: int) -> Steps[list[Listed]]:
    """Return the unexpired candidates with the labels, in order, until there are enough."""
    query, page = search.query, list[Listed]()
    rest = list(found)
    while rest and len(page) < enough:
        group, rest = rest[:_TOGETHER], rest[_TOGETHER:]
        asked = [one for one in group if query.where or query.heads or one.item.size % 4 == EXPIRING]
        states, damaged = yield from _states(search, asked)
        for one in group:
            head = None
            if one.name in damaged:
                page.append(Listed(one.name, one.item.modified, damaged=True))
                continue
            if one in asked:
                state = states.get(one.name)
                head = unexpired(state, search.environment) if state is not None else None
                if head is None or not (query.where or {}).items() <= head.labels.items():
                    continue
            page.append(Listed(one.name, one.item.modified, head if query.heads else None))
    return page


def _states(search: _Search, asked: Sequence[_Candidate]) -> Steps[tuple[dict[str, State], set[str]]]:
    """Return the states of streams, and the names of those whose head cannot be read."""
    index = search.heads_index
    known = {one.name: index.find(one.name, one.item) for one in asked} if index is not None else {}
    states = {name: state for name, state in known.items() if state is not None}
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
            if index is not None:
                index.learn(one.item, header_of(start.body))
    return states, damaged
