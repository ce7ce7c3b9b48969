"""Erasure of everything of a person, with a proof: a second search, and a search for the bytes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stowfast.abc import Window
from stowfast.backends.sqlite.search import search_file
from stowfast.errors import DamagedError, InvalidError, NotFoundError
from stowfast.moving.blobs import blob_in, pieces_of
from stowfast.moving.copying import Place, opened_place
from stowfast.moving.removal import find, remove
from stowfast.moving.results import reporter
from stowfast.moving.selection import EVERYTHING, check_selection, listed
from stowfast.names import check_call
from stowfast.sqlite import compact
from stowfast.stores import Stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator

    from stowfast.abc import Backend
    from stowfast.moving.selection import Selection

__all__ = ["Erased", "erase"]

_PIECE_BYTES: Final = 24
_LEAST_BYTES: Final = 8
"""A text of fewer bytes is anywhere by chance."""
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
    """Pieces of deleted entries, of their notes and contents, searched for in the bytes of the place."""
    found: int
    """Pieces found there, and nowhere in the streams of others."""
    searched: bool = False
    """Whether the bytes of the place were searched, and not its lists alone."""

    @property
    def proved(self) -> bool:
        """Whether no list and, where `searched`, no byte has any of it, and no damaged stream leaves a doubt.

        In a bucket and in PostgreSQL it says nothing of older versions of objects and of freed pages.
        """
        return not (self.left or self.damaged or self.found)


async def erase(
    place: Place,
    selection: Selection,
    *,
    search: Callable[[Collection[bytes]], set[bytes]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Erased:
    """Delete the selected streams with the artifacts and tasks of their conversations, sweep, and search again.

    What has the `context_id` of a selected conversation goes with it, and what has the `task_id` or `parent_task_id` of
    a selected task. A SQLite file is compacted afterwards, where the place is a URL: SQLite overwrites a removed row,
    but a page that was split before may have a second copy of it in its unused part. Then its bytes are searched, and
    those of its log, unless this process has it open elsewhere. The bytes of a bucket and of PostgreSQL are not.

    The ids of deleted streams stay in the place, so that a late repeat of a call adds nothing. Links, forks and copies
    under other metadata are not found: the selection decides.

    Args:
        place: a URL, or stores.
        selection: the streams, by `where`.
        search: returns the pieces that are in the stored bytes, in place of our own search of a SQLite file. Called
            after the place is closed, so give a URL with it.
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
    file = place.partition("?")[0] if isinstance(place, str) and place[:7].lower() == "sqlite:" else None
    async with AsyncExitStack() as stack:
        stores = Stores(await opened_place(place, stack))
        names = await find(stores, selection, related=True)
        pieces = await _pieces(stores.backend, names) if search is not None or file is not None else set[bytes]()
        count = await remove(stores, selection, related=True, progress=progress)
        await stores.sweep()
        left = await find(stores, selection, related=True)
        damaged = [one.name async for one in listed(stores.backend) if one.damaged]
    found: set[bytes] | None = None
    if file is not None:
        await asyncio.to_thread(compact, file)
    if search is not None:
        found = search(pieces)
    elif file is not None:
        found = await asyncio.to_thread(search_file, file, pieces)
    if found:  # others may have said the same
        async with AsyncExitStack() as stack:
            found = found - await _spoken(await opened_place(place, stack, reading=True), found)
    return Erased(count, left, damaged, len(pieces), len(found or ()), found is not None)


async def _pieces(backend: Backend, names: Collection[str]) -> set[bytes]:
    """Return some pieces of each note, entry and content of streams. A damaged part of one has none."""
    pieces: set[bytes] = set()
    for name in names:
        with suppress(DamagedError, NotFoundError):
            async for data, blob, size in _parts(backend, name):
                pieces.update(_cut(data))
                for start in _starts(size) if blob else ():
                    found = [
                        part async for part in backend.read_blob(name, blob, start=start, stop=start + _PIECE_BYTES)
                    ]
                    pieces.update(_cut(b"".join(found)))
    return pieces


def _cut(data: bytes) -> Iterator[bytes]:
    if _LEAST_BYTES <= len(data) < _PIECE_BYTES:
        yield data
    for start in _starts(len(data)):
        yield data[start : start + _PIECE_BYTES]


def _starts(size: int) -> range:
    """Return the starts of the pieces of so many bytes."""
    return range(0, size - _PIECE_BYTES + 1, max(size // _PIECES_EACH, _PIECE_BYTES))


async def _parts(backend: Backend, name: str) -> AsyncIterator[tuple[bytes, str, int]]:
    """Yield the note, metadata and entries of a stream, each with the id and the size of its blob, or with "" and 0."""
    at, first = 0, True
    while True:
        head, entries = await backend.read(name, Window(start=at, max_bytes=_PART_BYTES))
        if head is not None and first:
            yield head.note, "", 0
            for value in head.labels.values():
                if value.startswith('"'):  # of metadata; ids are without quotes, and stay
                    yield value.encode(), "", 0
        for entry in entries:
            record = blob_in(name, entry.data)
            yield entry.data, *(("", 0) if record is None else (record.blob, record.size))
        if not entries:
            return
        at, first = entries[-1].position + 1, False


async def _spoken(backend: Backend, pieces: set[bytes]) -> set[bytes]:
    """Return the pieces that are in an entry, a note or a content of a stream that lives."""
    found: set[bytes] = set()
    async for one in listed(backend, EVERYTHING, heads=False):
        with suppress(DamagedError, NotFoundError):
            async for data, blob, _ in _parts(backend, one.name):
                found |= {piece for piece in pieces - found if piece in data}
                end = b""
                if not blob:
                    continue
                async for part in pieces_of(backend, one.name, blob):
                    found |= {piece for piece in pieces - found if piece in end + part}
                    end = part[-_PIECE_BYTES:]
    return found
