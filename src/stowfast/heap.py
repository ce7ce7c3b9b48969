"""The heap of the process: memory for pieces of a MiB that come and go."""

from __future__ import annotations

from typing import Final

__all__ = ["keep_pieces"]

_FREED_BYTES: Final = 3 * 2**20


def keep_pieces() -> None:
    """Let the C library keep the memory of freed pieces for the next ones.

    glibc returns idle memory to the system from twice the size of the largest block that was ever freed. With blocks
    of a MiB nearly every piece is then made of new pages, and the system clears them: that takes half as long as the
    hash of the piece. So a larger block is made and freed once. Its pages are never touched.

    Source: M_MMAP_THRESHOLD in https://man7.org/linux/man-pages/man3/mallopt.3.html.
    """
    bytes(_FREED_BYTES)
