"""Groups of streams: rows in the order of their ids, as one stream for each id; and streams up to a fault."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from stowfast.errors import InvalidError
from stowfast.importing.streams import text_of
from stowfast.moving import Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from stowfast.importing.streams import Found, SourceStream

__all__ = ["grouped", "named"]


def grouped(rows: Iterator[tuple[Any, ...]], count: int, make: Callable[..., SourceStream]) -> Generator[Found]:
    """Yield the stream of each id; or a difference, where an id is no text or the stream cannot be made.

    Args:
        rows: in the order of their ids.
        count: how many values at the beginning of a row are its id.
        make: makes a stream from the parts of an id, and from the rows without it. The rows end where the next id
            begins.
    """
    for ids, group in groupby(rows, lambda row: row[:count]):
        try:
            names = [text_of(one, "an id") for one in ids]
            yield make(*names, (row[count:] for row in group))
        except InvalidError as error:
            yield Difference(repr(ids[0] if count == 1 else ids), str(error))


def named(name: str, streams: Iterator[Found]) -> Iterator[Found]:
    """Yield streams up to the first that cannot be made, and a difference of this name with the reason."""
    try:
        yield from streams
    except InvalidError as error:
        yield Difference(name, str(error))
