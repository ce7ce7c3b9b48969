"""Spans of a task: each version is a delta in a span, and retention drops whole spans.

The header of a whole version holds, for each span before it, the start and the time of the last version. A span ends
at the time of its last version, so no clock is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.deltas import DeltaChain, begin, encode, follow
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from stowfast.deltas import Delta

__all__ = ["earlier_spans", "first_version", "next_version"]

_MAX_SPANS: Final = 16
"""Earlier spans in a header. Beyond it two neighbours of the older half count as one."""


def first_version(position: int, text: bytes) -> tuple[bytes, DeltaChain]:
    """Return the entry of a version that forgets all spans before it, and the version."""
    delta = begin(text)
    return encode(delta), DeltaChain.stored(position, text, delta)


def next_version(newest: DeltaChain, text: bytes, saved_at: int) -> tuple[bytes, DeltaChain]:
    """Return the entry of the version after the newest, and the version.

    Args:
        newest: the newest version.
        text: the new version's text.
        saved_at: the time of the newest version.

    Raises:
        DamagedError: a base of the newest version does not decode.
    """
    delta: Delta | None = follow(newest, text)
    if delta is None:
        spans = _thinned([*earlier_spans(newest), (newest.delta.whole, saved_at)])
        delta = begin(text, header=msgspec.msgpack.encode(spans))
    return encode(delta), DeltaChain.stored(newest.position + 1, text, delta, newest)


def earlier_spans(version: DeltaChain) -> list[tuple[int, int]]:
    """Return the first position and the time of the last version of each span before this version's, in order.

    Raises:
        DamagedError: the header holds something else.
    """
    if not version.header:
        return []
    try:
        return _decoder.decode(version.header)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedError(f"version {version.position + 1}: its list of earlier spans is damaged") from error


def _thinned(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge neighbours in the older half of too many spans: old versions need not be removed at once."""
    if len(spans) <= _MAX_SPANS:
        return spans
    half = _MAX_SPANS // 2
    pairs = zip(spans[:half:2], spans[1:half:2], strict=True)
    return [*((began, ended) for (began, _), (_, ended) in pairs), *spans[half:]]


_decoder: Final = msgspec.msgpack.Decoder(list[tuple[int, int]])
