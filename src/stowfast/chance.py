"""Chance for pauses, from the system. A tenth of the time to open a first file went into loading Python's `random`."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["uniform"]

_BYTES: Final = 4
_PARTS: Final = 2**32


def uniform(low: float, high: float) -> float:
    """Return a number from `low` to `high`, each as likely as the other."""
    return low + (high - low) * int.from_bytes(os.urandom(_BYTES), "big") / _PARTS
