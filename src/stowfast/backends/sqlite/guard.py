"""A connection to a file of unknown origin: its schema runs no code, and every transaction has a bound.

Source: "Defense Against The Dark Arts", https://www.sqlite.org/security.html
"""

from __future__ import annotations

import math
import sqlite3
import time
from typing import Final

from stowfast.backends.sqlite.rows import decode_text

__all__ = ["TRANSACTION_SECONDS", "GuardedConnection"]

TRANSACTION_SECONDS: Final = 60.0
"""The longest transaction. A damaged or hostile file can make a statement endless; this ends it."""

_STEPS_BETWEEN_LOOKS: Final = 1_000_000


class _Deadline:
    """The latest end of the running transaction. A class of its own, so a connection does not refer to itself."""

    def __init__(self) -> None:
        self.at = math.inf

    def passed(self) -> bool:
        return time.monotonic() > self.at


class GuardedConnection(sqlite3.Connection):
    """A connection with the settings for a file of unknown origin, and a bound for each transaction."""

    def harden(self) -> None:
        """Set the rules before the first look into the file."""
        self._deadline = _Deadline()
        self.text_factory = decode_text
        self.set_progress_handler(self._deadline.passed, _STEPS_BETWEEN_LOOKS)
        self.execute("PRAGMA trusted_schema=OFF")
        self.execute("PRAGMA cell_size_check=ON")

    def configure(self, *, read_only: bool) -> None:
        """Set the rules for the log, the cache and removed content."""
        self.execute("PRAGMA secure_delete=ON")
        self.execute("PRAGMA wal_autocheckpoint=0")
        self.execute("PRAGMA journal_size_limit=16777216")
        if read_only:
            self.execute("PRAGMA query_only=ON")
        self.execute("PRAGMA cache_size=-8192")  # KiB: a long conversation is read from the file only once

    def defend(self) -> None:
        """Refuse statements that can damage the file: none of ours does, once it has its tables."""
        if hasattr(self, "setconfig"):  # from Python 3.12 on
            self.setconfig(getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE"), True)  # noqa: B009

    def start(self) -> None:
        """Begin to count the seconds of a transaction."""
        self._deadline.at = time.monotonic() + TRANSACTION_SECONDS

    def stop(self) -> None:
        """Count no more."""
        self._deadline.at = math.inf
