"""A search for bytes in a SQLite file and its log, wherever in them they are."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING

from stowfast.backends.sqlite.locks import OPENING, is_claimed
from stowfast.backends.sqlite.rights import absolute, path_of

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["search_file"]


def search_file(url: str, pieces: Collection[bytes]) -> set[bytes] | None:
    """Return the pieces that are in the file or its log; None: this process has it open, so nothing was searched.

    No opening of this process begins meanwhile: closing a second descriptor of a SQLite file drops its locks.
    Source: https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    """
    path = absolute(path_of(url))
    found: set[bytes] = set()
    with OPENING:
        if is_claimed(path):
            return None
        for file in (Path(path), Path(f"{path}-wal")):
            if not file.is_file() or not file.stat().st_size:
                continue
            with file.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found |= {piece for piece in pieces if content.find(piece) >= 0}
    return found
