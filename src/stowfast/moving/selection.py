"""The selection of streams: by kind, id, metadata and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from stowfast.abc import Query
from stowfast.errors import InvalidError, shown
from stowfast.moving.results import Copied, Verified, reporter
from stowfast.names import check_text
from stowfast.stores.codec import from_time
from stowfast.stores.labels import beside_own, wanted_labels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from stowfast.abc import Backend, Listed

__all__ = ["BOOKKEEPING", "EVERYTHING", "LINKS", "Selection", "check_selection", "count_total", "kind_of", "listed"]

D = TypeVar("D", Copied, Verified)

_PAGE: Final = 999
"""A LIST of a bucket tells 1,000 keys: those of a page, and one more."""
LINKS: Final = "links"
"""The kind of the copies behind links to content. A URL leads to the old place, so these are never moved."""
BOOKKEEPING: Final = "stowfast"
"""The kind of the marks of backups."""
_KINDS: Final = frozenset({"messages", "artifacts", "tasks", "documents", "langgraph"})
"""The kinds of the stores and adapters. A place may have others."""
_LEFT_OUT: Final = frozenset({LINKS, BOOKKEEPING})


class Selection(NamedTuple):
    """The streams to work on. Every condition must hold."""

    kinds: Sequence[str] = ()
    """Such as `messages`, `artifacts`, `tasks`, `documents`. Empty: all kinds."""
    prefix: str = ""
    """The beginning of the id."""
    where: Mapping[str, Any] | None = None
    """Pairs of the metadata: short texts, numbers, booleans or None."""
    since: datetime | None = None
    """Changed at this moment or later, by the clock of the source."""


EVERYTHING: Final = Selection()
"""All streams but the copies behind links."""


def kind_of(name: str) -> str:
    """Return the kind of a stream, in whatever scope it lies."""
    return name.partition("/")[0].rpartition(":")[2]


def check_selection(selection: Selection) -> None:
    """Check that a selection is one.

    Raises:
        InvalidError: it is something else.
    """
    if not isinstance(selection, Selection):
        raise InvalidError(f"selection is a Selection, such as Selection(prefix='a'), not {type(selection).__name__}")


async def listed(
    backend: Backend,
    selection: Selection = EVERYTHING,
    *,
    heads: bool = True,
    progress: Callable[[int], None] | None = None,
) -> AsyncIterator[Listed]:
    """Yield the selected streams by name. A damaged one is yielded unless its name or time excludes it.

    Args:
        backend: the place.
        selection: the streams to yield.
        heads: with their heads. Without, a `where` still reads them.
        progress: called with the number of streams looked at so far, selected or not.

    Raises:
        InvalidError: the selection cannot match: a kind or a value of another type; or, at the end, a kind that
            neither Stowfast nor this place has.
    """
    check_selection(selection)
    report = reporter(progress)
    labels = wanted_labels(selection.where)
    own = beside_own(labels)
    since = None if selection.since is None else from_time(selection.since, "since")
    check_text(selection.prefix, "prefix")
    if type(selection.kinds) not in (list, tuple) or not all(type(kind) is str for kind in selection.kinds):
        raise InvalidError("kinds is a list of words, such as ['messages']")
    after, seen, kinds = None, 0, set[str]()
    while True:
        page = await backend.streams(Query("", after=after, limit=_PAGE, heads=heads or bool(labels)))
        for one in page.streams:
            seen += 1
            report(seen)
            kind, id = kind_of(one.name), one.name.partition("/")[2]
            kinds.add(kind)
            if kind in _LEFT_OUT or (selection.kinds and kind not in selection.kinds):
                continue
            if not id.startswith(selection.prefix) or (since is not None and one.updated_at < since):
                continue
            if one.head is not None and labels:
                has = one.head.labels.items()
                if not (labels.items() <= has or own.items() <= has):
                    continue
            yield one
        after = page.after
        if after is None:
            break
    _check_kinds(selection.kinds, (kinds | _KINDS) - _LEFT_OUT)


async def count_total(streams: AsyncIterator[Listed], done: D, report: Callable[[D], None], *, told: bool) -> None:
    """Count the streams of a listing, and put their number into a result.

    Args:
        streams: a listing without heads.
        done: the result.
        report: called with the result after each thousand.
        told: False: only list them, so that a kind that nobody has is refused before the work begins.
    """
    count = 0
    async for _ in streams:
        count += 1
        if told and count % _PAGE == 0:
            done.total = count
            report(done)
    if told:
        done.total = count
        report(done)


def _check_kinds(wanted: Sequence[str], known: set[str]) -> None:
    unknown = [kind for kind in wanted if kind not in known]
    if unknown:
        raise InvalidError(f"there is no kind {shown(unknown[0])}: the kinds here are {', '.join(sorted(known))}")
