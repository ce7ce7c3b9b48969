"""How much of the soak is tried: all of it, or the part that `make soak PART=0.25` names. CI has an hour for all."""

from __future__ import annotations

import os
from typing import Final

PART: Final = float(os.environ.get("STOWFAST_SOAK_PART") or 1)


def part(count: int, least: int = 1) -> int:
    """Return this part of a count, and never less than `least`."""
    return max(least, round(count * PART))
