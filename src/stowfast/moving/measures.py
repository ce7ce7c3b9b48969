"""Measures of a place: counts from the heads, and bytes from the entries."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stowfast.abc import Window
from stowfast.errors import StowfastError
from stowfast.moving.blobs import blob_in
from stowfast.moving.copying import Place, opened_place
from stowfast.moving.selection import EVERYTHING, Selection, kind_of, listed
from stowfast.names import check_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.abc import Backend, Head

__all__ = ["Statistics", "Usage", "measure", "statistics"]

_DAY: Final = 86_400 * 1_000_000
_LARGEST: Final = 10
_PART_BYTES: Final = 4 * 2**20


@dataclass
class Statistics:
    """Counts of a place, from its heads alone."""

    streams: dict[str, int] = field(default_factory=dict)
    """By kind."""
    entries: dict[str, int] = field(default_factory=dict)
    """By kind."""
    changed_today: int = 0
    """Streams with a change in the last 24 hours, by the clock of the place."""
    begun_today: int = 0
    expiring: int = 0
    """Streams with a time of expiry."""
    damaged: int = 0
    last_change: int | None = None
    """Microseconds since 1970."""
    longest: list[tuple[str, int]] = field(default_factory=list)
    """The ten streams with the most entries."""


@dataclass
class Usage:
    """The size of a group of streams, in bytes before any compression."""

    streams: int = 0
    entries: int = 0
    bytes: int = 0
    """Of entries and notes."""
    blob_bytes: int = 0
    """Of the content of artifacts; equal content of one artifact once."""


async def statistics(
    place: Place, *, selection: Selection = EVERYTHING, progress: Callable[[int], None] | None = None
) -> Statistics:
    """Count the streams and entries of a place, without reading an entry.

    Args:
        place: a URL, or stores.
        selection: the streams to count.
        progress: called with the number of streams looked at so far.

    Raises:
        UnavailableError: the place gives no answer.
    """
    async with AsyncExitStack() as stack:
        backend = await opened_place(place, stack, reading=True)
        streams, entries, longest = Counter[str](), Counter[str](), list[tuple[str, int]]()
        found, now = Statistics(), await backend.now()
        async for one in listed(backend, selection, progress=progress):
            kind = kind_of(one.name)
            streams[kind] += 1
            found.last_change = max(found.last_change or one.updated_at, one.updated_at)
            found.changed_today += one.updated_at > now - _DAY
            if one.head is None:
                found.damaged += 1
                continue
            entries[kind] += one.head.length
            found.begun_today += one.head.created_at > now - _DAY
            found.expiring += one.head.expires_at is not None
            longest.append((one.name, one.head.length))
            if len(longest) > 100 * _LARGEST:
                longest = _longest(longest)
        found.streams, found.entries, found.longest = dict(streams), dict(entries), _longest(longest)
        return found


async def measure(
    place: Place,
    group: Callable[[Head], str],
    *,
    selection: Selection = EVERYTHING,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Usage]:
    """Read all entries, and return the size of each group of streams. A damaged stream counts without its entries.

    Args:
        place: a URL, or stores.
        group: returns the name of a stream's group.
        selection: the streams to measure.
        progress: called with the number of streams looked at so far.

    Raises:
        UnavailableError: the place gives no answer.
    """
    check_call(group, "group")
    async with AsyncExitStack() as stack:
        backend = await opened_place(place, stack, reading=True)
        found: dict[str, Usage] = {}
        async for one in listed(backend, selection, progress=progress):
            if one.head is not None:
                await _add(backend, one.head, found.setdefault(group(one.head), Usage()))
        return found


async def _add(backend: Backend, head: Head, usage: Usage) -> None:
    usage.streams += 1
    usage.bytes += len(head.note)
    at, blobs = 0, dict[str, int]()
    while True:
        try:
            entries = (await backend.read(head.name, Window(start=at, max_bytes=_PART_BYTES))).entries
            records = [record for entry in entries if (record := blob_in(head.name, entry.data)) is not None]
        except StowfastError:
            return
        usage.entries += len(entries)
        usage.bytes += sum(len(entry.data) for entry in entries)
        usage.blob_bytes += sum(record.size for record in records if record.blob not in blobs)
        blobs |= {record.blob: record.size for record in records}
        if not entries:
            return
        at = entries[-1].position + 1


def _longest(found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(found, key=lambda one: (-one[1], one[0]))[:_LARGEST]
