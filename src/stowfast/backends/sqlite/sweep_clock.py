"""The clock of sweeps: a sweep removes for good, so one wrong clock must not decide alone."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final

from stowfast.names import clock

__all__ = ["SweepClock"]

_TRUSTED: Final = 2 * 86_400 * 1_000_000
"""Microseconds by which the clock may be later than the last write."""


class SweepClock:
    """The time of the machine, at most two days after the last write to the file before this opening.

    The time since the opening is added. A file that nobody has written to for longer is swept up to that time only;
    the next opening after a write removes the rest.

    Args:
        path: the file, before SQLite has opened it: an opening may write.
    """

    def __init__(self, path: str) -> None:
        written: list[int] = []
        for name in (path, f"{path}-wal"):
            with suppress(OSError):
                written.append(os.stat(name).st_mtime_ns // 1_000)
        self._latest = max(written) + _TRUSTED if written else None
        self._opened_at = time.monotonic()

    def now(self) -> int:
        """Return microseconds since 1970."""
        if self._latest is None:
            return clock()
        return min(clock(), self._latest + int((time.monotonic() - self._opened_at) * 1e6))
