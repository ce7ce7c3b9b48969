"""Random numbers for pauses, from the system: a first opening need not load Python's `random`, which takes 0.7 ms."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["uniform"]

_BYTES: Final = 4
_PARTS: Final = 2**32


def uniform(low: float, high: float) -> float:
    """Return a number from `low` to `high`, each as likely as the other."""
    return low + (high - low) * int.from_bytes(os.urandom(_BYTES), "big") / _PARTS
