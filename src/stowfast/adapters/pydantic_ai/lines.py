"""One line of a conversation: the messages from an entry back to the first, in pages from the newest end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.abc import Window
from stowfast.adapters.pydantic_ai.encoding import read_line

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.adapters.pydantic_ai.encoding import StoredEntry

__all__ = ["Linked", "read_back"]

PAGE_BYTES: Final = 4 * 2**20
_FEWEST: Final = 64
"""Entries of a page where few messages are wanted: those of other branches lie between them."""


class Linked(NamedTuple):
    """An entry of a line, and its bytes."""

    entry: StoredEntry
    data: bytes


async def read_back(backend: Backend, stream: str, entry_id: str, limit: int | None = None) -> list[Linked]:
    """Return the entries up to this one, oldest first, or only the last `limit` of them.

    A parent always lies before its children. So one pass from the newest end meets all of a line, and leaves out
    the entries of other branches.

    Raises:
        LookupError: the stream has no such entry, or was deleted meanwhile.
        DamagedError: an entry does not decode.
    """
    found: list[Linked] = []
    wanted: str | None = entry_id
    stop, incarnation = None, None
    while wanted is not None and (limit is None or len(found) < limit):
        most = None if limit is None else max(limit - len(found), _FEWEST)
        head, page = await backend.read(
            stream, Window(start=0, stop=stop, limit=most, newest=True, max_bytes=PAGE_BYTES)
        )
        if head is None or not page or incarnation not in {None, head.incarnation}:
            raise LookupError(wanted)
        stop, incarnation = page[0].position, head.incarnation
        for stored in reversed(page):
            entry = read_line(stored.data, stream)
            if wanted is not None and entry.id == wanted:
                found.append(Linked(entry, stored.data))
                wanted = entry.parent_id
                if len(found) == limit:
                    break
    return found[::-1]
