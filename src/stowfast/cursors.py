"""Cursors of listings: where the next page begins."""

from __future__ import annotations

from stowfast.abc import Listed
from stowfast.errors import InvalidError

__all__ = ["after_cursor", "parse_cursor"]


def after_cursor(order: str, last: Listed) -> str:
    """Return the `Listing.after` behind `last`: its name, with the time before it in a listing by recency."""
    return last.name if order == "name" else f"{last.updated_at} {last.name}"


def parse_cursor(order: str, after: str | None) -> Listed | None:
    """Parse a cursor that `after_cursor` wrote.

    Raises:
        InvalidError: it is not the cursor of a listing in this order.
    """
    if after is None:
        return None
    if not isinstance(after, str):
        raise InvalidError(f"after={after!r}: pass the `next` of the page before")
    if order == "name":
        return Listed(after, 0)
    time, _, name = after.partition(" ")
    if not (time.isascii() and time.isdecimal() and name):
        raise InvalidError(f"after={after!r} is not from a listing by recency: pass the `next` of the page before")
    return Listed(name, int(time))
