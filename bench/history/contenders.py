"""What is compared: the encodings, and then one parameter of Stowfast's at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.history.deltas import CHAIN, SNAPSHOT, Deltas, Encoding, Rule, Stowfast, Whole
from bench.history.pieces import Channels, Chunks, Patches

__all__ = ["STUDIES", "Study"]

Study = dict[str, Callable[[], Encoding]]


def _rules(parameter: str, values: tuple[Any, ...], base: Rule | None = None) -> Study:
    return {f"{value:g}": partial(Deltas, (base or Rule())._replace(**{parameter: value})) for value in values}


ENCODINGS: Study = {
    "whole, plain": Whole,
    "whole, zstd": partial(Whole, 3),
    "channels": Channels,
    "chunks of 4 KB": partial(Chunks, 2**12),
    "chunks of 8 KB": partial(Chunks, 2**13),
    "chunks of 16 KB": partial(Chunks, 2**14),
    "JSON Patch": Patches,
    "last snapshot": partial(Deltas, Rule(radix=SNAPSHOT)),
    "one chain": partial(Deltas, Rule(radix=CHAIN, longest=CHAIN)),
    "skip-deltas": Deltas,
    "Stowfast": Stowfast,
}

STUDIES: dict[str, Study] = {
    "encodings": ENCODINGS,
    "radix": _rules("radix", (2, 4, 8, 16, 32, 64)),
    "level": {
        **_rules("level", (1, 3, 6)),
        "3, no LDM": partial(Deltas, Rule(far=CHAIN)),
        "3, all LDM": partial(Deltas, Rule(far=0)),
        "6, no LDM": partial(Deltas, Rule(level=6, far=CHAIN)),
    },
    "match": _rules("match", (0, 4, 5, 6, 7)),
    "limit": _rules("limit", (0.5, 1, 2, 4)),
    "floor": _rules("floor", (0, 2**12, 2**14, 2**15, 2**16)),
    "large": _rules("large", (0.1, 0.25, 0.5, 1)),
    "snapshot": _rules("longest", (10, 30, 100, 300), Rule(radix=SNAPSHOT, limit=float(CHAIN))),
}
"""Of each parameter the values that are tried; the others stay as they are."""
