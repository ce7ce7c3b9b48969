"""Cursors of listings: the start of the next page. A cursor belongs to one order and one prefix."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from stowfast.abc import Listed
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from stowfast.abc import Query

__all__ = ["after_cursor", "parse_cursor"]

_TIME: Final = re.compile(r"[0-9]{1,18}")


def after_cursor(order: str, last: Listed) -> str:
    """Return the `Listing.after` behind `last`: opaque text, safe in a URL and on a command line."""
    return urlsafe_b64encode(f"{order} {last.updated_at} {last.name}".encode()).decode().rstrip("=")


def parse_cursor(query: Query) -> Listed | None:
    """Return the last stream of the page before; None for the first page.

    Raises:
        InvalidError: the cursor was not made by a listing with this order and prefix.
    """
    if query.after is None:
        return None
    refusal = InvalidError("after: this is no cursor of this list; pass the `next` of the page before")
    if not isinstance(query.after, str):
        raise refusal
    try:
        text = urlsafe_b64decode(query.after + "=" * (-len(query.after) % 4)).decode()
    except (binascii.Error, ValueError):
        raise refusal from None
    order, _, rest = text.partition(" ")
    time, _, name = rest.partition(" ")
    if order != query.order or not _TIME.fullmatch(time) or not name.startswith(query.prefix):
        raise refusal
    return Listed(name, int(time))
