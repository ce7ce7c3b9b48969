"""Erasure of everything of a person, with a proof: a second search, and a search for the bytes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stowfast.abc import Window
from stowfast.errors import InvalidError
from stowfast.moving.copying import Place, opened_place
from stowfast.moving.removal import find, remove
from stowfast.moving.results import reporter
from stowfast.moving.selection import EVERYTHING, check_selection, listed
from stowfast.names import check_call
from stowfast.sqlite import compact
from stowfast.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stowfast.abc import Backend
    from stowfast.moving.selection import Selection

__all__ = ["Erased", "erase"]

_PIECE_BYTES: Final = 24
_PIECES_EACH: Final = 8
_PART_BYTES: Final = 4 * 2**20


@dataclass
class Erased:
    """The result of an erasure."""

    streams: int
    """Deleted streams."""
    left: list[str]
    """Selected streams that a second search found."""
    damaged: list[str]
    """Damaged streams. Nobody can tell whose they are."""
    pieces: int
    """Pieces of deleted entries, searched for in the bytes of the place; 0: no bytes to search."""
    found: int
    """Pieces found there, and in no entry of others."""

    @property
    def proved(self) -> bool:
        """Whether nothing was found again, and no damaged stream leaves a doubt."""
        return not (self.left or self.damaged or self.found)


async def erase(
    place: Place,
    selection: Selection,
    *,
    search: Callable[[Collection[bytes]], set[bytes]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Erased:
    """Delete the selected streams with the artifacts and tasks of their conversations, sweep, and search again.

    A SQLite file is compacted afterwards, where the place is a URL: SQLite overwrites a removed row, but a page that
    was split before may have a second copy of it in its unused part.

    The ids of deleted streams stay in the place, so that a late repeat of a call adds nothing. Links, forks and copies
    under other metadata are not found: the selection decides.

    Args:
        place: a URL, or stores.
        selection: the streams, by `where`.
        search: returns the pieces that are in the stored bytes, such as a search of the file. Called after the place is
            closed, so give a URL with it.
        progress: called with the number of streams deleted so far.

    Raises:
        InvalidError: the selection has no `where`.
        UnavailableError: some of it may be deleted. Call it again.
    """
    check_selection(selection)
    reporter(progress)  # before anything is deleted
    if search is not None:
        check_call(search, "search")
    if not selection.where:
        raise InvalidError("an erasure needs where=, such as {'user': 'ada'}")
    async with AsyncExitStack() as stack:
        stores = Stores(await opened_place(place, stack))
        names = await find(stores, selection, related=True)
        pieces = await _pieces(stores.backend, names) if search is not None else set[bytes]()
        count = await remove(stores, selection, related=True, progress=progress)
        await stores.sweep()
        left = await find(stores, selection, related=True)
        damaged = [one.name async for one in listed(stores.backend) if one.damaged]
    if isinstance(place, str) and place[:7].lower() == "sqlite:":
        await asyncio.to_thread(compact, place.partition("?")[0])
    # Not before the place is closed: closing a second descriptor of a SQLite file drops the locks of this process.
    # Source: https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    found = set[bytes]() if search is None else search(pieces)
    if found:  # others may have said the same
        async with AsyncExitStack() as stack:
            found -= await _spoken(await opened_place(place, stack, reading=True), found)
    return Erased(count, left, damaged, len(pieces), len(found))


async def _pieces(backend: Backend, names: Collection[str]) -> set[bytes]:
    """Return some pieces of each entry of streams."""
    pieces: set[bytes] = set()
    for name in names:
        at = 0
        while entries := (await backend.read(name, Window(start=at, max_bytes=_PART_BYTES))).entries:
            for entry in entries:
                step = max(len(entry.data) // _PIECES_EACH, _PIECE_BYTES)
                found = (entry.data[start : start + _PIECE_BYTES] for start in range(0, len(entry.data), step))
                pieces |= {piece for piece in found if len(piece) == _PIECE_BYTES}
            at = entries[-1].position + 1
    return pieces


async def _spoken(backend: Backend, pieces: set[bytes]) -> set[bytes]:
    """Return the pieces that are in an entry or a note of a stream that lives."""
    found: set[bytes] = set()
    async for one in listed(backend, EVERYTHING):
        at = 0
        notes = [b"" if one.head is None else one.head.note]
        while entries := (await backend.read(one.name, Window(start=at, max_bytes=_PART_BYTES))).entries:
            for data in (*notes, *(entry.data for entry in entries)):
                found |= {piece for piece in pieces - found if piece in data}
            at = entries[-1].position + 1
    return found
