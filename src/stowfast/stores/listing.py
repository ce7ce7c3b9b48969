"""Listings: the readable streams of a page, and the ids of the damaged ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from stowfast.abc import Query
from stowfast.errors import DamagedError, InvalidError, shown
from stowfast.names import check_text, is_one_of
from stowfast.stores.codec import check_counts, check_given, stream_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stowfast.abc import Listed

__all__ = ["list_query", "read_listed"]

T = TypeVar("T")


def list_query(
    kind: str, prefix: str, labels: Mapping[str, str], order: Literal["recent", "id"], after: str | None, limit: int
) -> Query:
    """Return the query of a list with heads, its arguments checked.

    Raises:
        InvalidError: the order is unknown, the limit is negative, or no id can begin with the prefix.
    """
    if not is_one_of(order, ("recent", "id")):
        raise InvalidError(f"order={shown(order)}: it is recent or id")
    check_given(limit=limit)
    check_counts(limit=limit)
    check_text(prefix, "prefix")
    if prefix:
        stream_name(kind, "prefix", prefix)  # an id that begins with it would have to be valid, too
    query = Query(f"{kind}/{prefix}", where=labels, after=after, limit=limit, heads=True)
    return query if order == "id" else query._replace(order="recent")


def read_listed(kind: str, found: Iterable[Listed], read: Callable[[Listed], T | None]) -> tuple[list[T], list[str]]:
    """Return the items of a page, and the ids that it leaves out, as their stored data is damaged.

    Args:
        kind: the prefix of the streams.
        read: returns the item of a stream; None: it was removed since the listing.
    """
    items: list[T] = []
    damaged: list[str] = []
    for listed in found:
        try:
            item, sound = read(listed), not listed.damaged
        except DamagedError:
            item, sound = None, False
        if not sound:
            damaged.append(listed.name.removeprefix(f"{kind}/"))
        elif item is not None:
            items.append(item)
    return items, damaged
