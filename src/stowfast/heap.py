"""The heap of the process: memory for pieces of a MiB that come and go."""

from __future__ import annotations

from typing import Final

__all__ = ["keep_pieces"]

_FREED_BYTES: Final = 3 * 2**20


def keep_pieces() -> None:
    """Let the C library keep the memory of freed pieces for the next ones.

    glibc gives idle memory back to the system as soon as there is twice as much as the largest block that was ever
    freed. If that was a MiB, nearly every piece is made of new pages, and the system clears them first: 0.2 ms for each
    piece, and its SHA-256 takes 0.6. So this makes a larger block, and frees it. No page of it is touched.

    Source: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD in https://man7.org/linux/man-pages/man3/mallopt.3.html.
    """
    bytes(_FREED_BYTES)
