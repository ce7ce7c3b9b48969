"""Listings: the readable streams of a page, and the ids of the damaged ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stowfast.abc import Listed

__all__ = ["read_listed"]

T = TypeVar("T")


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
