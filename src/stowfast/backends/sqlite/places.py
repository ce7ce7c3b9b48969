"""The place of an entry: its stream and its position as one number, the key of the table `entries`.

The upper 31 bits are the id of the row of the stream, the lower 32 bits the position. So one B-tree holds the entries
of each stream side by side, in their order, and its leaves take rows of up to 4,061 bytes whole. The key of two columns
that SQLite offers instead (WITHOUT ROWID) puts each row over 1,002 bytes partly on a page of its own:
https://www.sqlite.org/fileformat2.html#b_tree_pages. docs/design/sqlite-file.md has the figures.
"""

from __future__ import annotations

from typing import Final

from stowfast.errors import UnsupportedError

__all__ = ["NEXT_STREAM", "place_of", "places_of"]

_POSITIONS: Final = 2**32
_STREAMS: Final = 2**31

NEXT_STREAM: Final = "SELECT coalesce(max(id), 0) + 1 FROM streams WHERE id BETWEEN 0 AND 2147483646"
"""Selects the id of the next row of `streams`. A damaged id beyond all places is passed over."""


def place_of(stream: int, position: int) -> int:
    """Return the place of an entry.

    Raises:
        UnsupportedError: a stream in a SQLite file has 2**32 positions, and no more.
    """
    if position >= _POSITIONS:
        raise UnsupportedError(
            f"position {position:,}: a stream in a SQLite file ends at {_POSITIONS:,}: choose another backend"
        )
    return stream * _POSITIONS + position


def places_of(stream: int, start: int = 0, stop: int = _POSITIONS) -> tuple[int, int]:
    """Return the first place of a range of positions, and the first one behind it. A damaged id has no places."""
    if not 0 < stream < _STREAMS:
        return 0, 0
    first = stream * _POSITIONS
    return first + min(max(start, 0), _POSITIONS), first + min(max(stop, 0), _POSITIONS)
