"""Saves a workload in one encoding, loads from it, and holds what comes back against what went in."""

from __future__ import annotations

import json
import time
from statistics import mean, median
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.history.deltas import Cost, Encoding

__all__ = ["Figures", "measure"]

_SAMPLES = 20
"""Versions that are loaded and compared, beside the newest and the worst one."""
_TURNS = 5


class Figures(NamedTuple):
    """What was seen. Times are of the processor, in milliseconds, JSON included."""

    saves: int
    last: int
    """Bytes of the newest version as plain JSON."""
    stored: int
    largest: int
    """Of a save."""
    save: float
    encode: float
    """Of that, JSON."""
    newest: Cost
    newest_load: float
    worst: Cost
    """Of the version that takes the most steps."""
    worst_load: float
    steps: float
    """In the mean of all versions."""
    reads: float
    read: int
    """Most bytes for any version."""
    wholes: int
    loads: float
    decodes: float
    """What the newest takes json.loads, and msgspec."""


def measure(texts: Callable[[int], Iterator[bytes]], saves: int, encoding: Encoding) -> Figures:
    """Do it.

    Raises:
        AssertionError: a version came back changed.
    """
    sizes: list[int] = []
    times: list[float] = []
    encodes: list[float] = []
    kept: dict[int, bytes] = {}
    text = b""
    for number, text in enumerate(texts(saves)):
        state = msgspec.json.decode(text)
        encodes.append(_timed(msgspec.json.encode, state)[0])
        took, size = _timed(encoding.save, state)
        times.append(took)
        sizes.append(size)
        if number % max(saves // _SAMPLES, 1) == 0:
            kept[number] = text
    kept[saves - 1] = text
    costs = [encoding.cost(number) for number in range(saves)]
    worst = max(range(saves), key=lambda number: costs[number].steps)
    for number, expected in kept.items():
        if encoding.load(number) != msgspec.json.decode(expected):
            raise AssertionError(f"version {number} came back changed")
    return Figures(
        saves=saves,
        last=len(text),
        stored=sum(sizes),
        largest=max(sizes[1:]),
        save=mean(times),
        encode=mean(encodes),
        newest=costs[-1],
        newest_load=_typical(lambda: encoding.load(saves - 1)),
        worst=costs[worst],
        worst_load=_typical(lambda: encoding.load(worst)),
        steps=mean(cost.steps for cost in costs),
        reads=mean(cost.reads for cost in costs),
        read=max(cost.size for cost in costs),
        wholes=getattr(encoding, "wholes", 0),
        loads=_typical(lambda: json.loads(text)),
        decodes=_typical(lambda: msgspec.json.decode(text)),
    )


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    # The processor's time, so that a busy machine does not count.
    began = time.thread_time_ns()
    found = call(*arguments)
    return (time.thread_time_ns() - began) / 1e6, found


def _typical(call: Callable[[], Any]) -> float:
    call()
    return median(_timed(call)[0] for _ in range(_TURNS))
