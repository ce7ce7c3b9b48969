"""The log of a file: when it is folded into the file, and how large it may get."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from stowfast.backends.sqlite.inodes import file_size
from stowfast.backends.sqlite.schema import APPLICATION_ID
from stowfast.disk import free_bytes

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Log", "full_disk"]

MAX_LOG_BYTES: Final = 64 * 2**20
"""A log above this size makes writers wait for the readers once, so that it can begin anew."""
MAX_WAIT_SECONDS: Final = 2

_PAUSE_SECONDS: Final = 0.002
_LEAST_PAGES, _MOST_PAGES = 64, 1_000
_SHARE_OF_FREE_SPACE: Final = 4


class Log:
    """The log beside a file, for the thread that writes.

    A copy of the file alone lacks the log, and a full disk has no room to fold a large one. So the log of a small file
    is folded sooner: when it has half as many pages as the file; and on a disk that is nearly full, too. With
    `is_synced=False`, where a commit is not synced to the disk, only a full disk is a reason.

    Source: https://www.sqlite.org/wal.html.
    """

    def __init__(self, path: str, writer: sqlite3.Connection, *, is_synced: bool) -> None:
        self._path = path
        self._writer = writer
        # A fold costs two fsyncs: little beside a commit with one, much beside a commit without.
        self._usual_pages = _LEAST_PAGES if is_synced else _MOST_PAGES
        self._most_pages = self._usual_pages
        self._most_bytes = MAX_LOG_BYTES
        self._begins = True
        self._bytes = 0

    def is_due(self, pages: int) -> bool:
        """Return True if so many pages are to be folded now."""
        return pages > self._most_pages

    def begin(self, log_bytes: int) -> None:
        """Write the first page of the file in this transaction if the log may begin with it: it has the file's mark.

        `log_bytes` is the size of the log after the transaction before.
        """
        if self._begins or log_bytes < self._bytes:
            self._writer.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
            self._begins = False
        self._bytes = log_bytes

    def undo(self) -> None:
        """Forget the first page of a transaction that was rolled back."""
        self._begins = True

    def fold(self) -> bool:
        """Copy the log into the file, except the part that readers need, so that the log begins anew.

        Return True if all of it was copied.
        """
        _, frames, folded = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        log_bytes = _size(f"{self._path}-wal")
        if log_bytes > self._most_bytes:
            self._most_bytes = MAX_LOG_BYTES if self._restart() else log_bytes + MAX_LOG_BYTES
        pages, page_bytes = (
            self._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        room = free_bytes(os.path.dirname(self._path)) // page_bytes // _SHARE_OF_FREE_SPACE
        usual_pages = max(self._usual_pages, min(_MOST_PAGES, pages // 2))
        self._most_pages = max(_LEAST_PAGES, min(usual_pages, room))
        self._begins = True
        if room < usual_pages:  # the file needs the room of the log to grow
            return self.empty()
        return bool(frames == folded)

    def empty(self) -> bool:
        """Copy all of the log into the file and give its room back to the disk. False where readers need it."""
        self._begins = True
        return bool(self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)

    def rescue(self) -> None:
        """Copy all of the log into the file, and wait a moment for readers of this process that keep a part of it."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while time.monotonic() < deadline:
            _, frames, folded = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames == folded:
                return
            time.sleep(_PAUSE_SECONDS)

    def _restart(self) -> bool:
        # Holds the write lock until the readers of now have ended. Those that come meanwhile need the file alone.
        self._writer.execute(f"PRAGMA busy_timeout={MAX_WAIT_SECONDS * 1000:d}")
        try:
            return bool(self._writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0)
        finally:
            self._writer.execute("PRAGMA busy_timeout=0")


def full_disk(path: str) -> str:
    """Return the room that is left and the room that is needed to fold a log, as a sentence for an error."""
    free, log_bytes = free_bytes(os.path.dirname(path)), _size(f"{path}-wal")
    return f"the disk is full: {free:,} bytes are free, and to fold the log up to {log_bytes:,} are needed"


def _size(path: str) -> int:
    try:
        return file_size(os.fsencode(path)).bytes
    except FileNotFoundError:
        return 0
