"""The heap of the process: memory for pieces of a MiB that come and go."""

from __future__ import annotations

from functools import cache
from typing import Final

__all__ = ["keep_pieces"]

_FREED_BYTES: Final = 3 * 2**20


@cache
def keep_pieces() -> None:
    """Let the C library keep the memory of freed pieces for the next ones. Once in a process.

    glibc takes each block over a threshold from the system, and gives it back when it is freed. The threshold is the
    size of the largest such block ever freed. Of its other memory, glibc gives back the idle end, from twice the
    threshold on. With a threshold of a MiB, a third of the pages of each piece are new, and the system clears them
    first: 0.2 ms for a piece. So this makes and frees a larger block. No page of it is touched.

    The price: later blocks of up to 3 MiB, also those of the program, come from memory of which only the idle end is
    given back. Programs with MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_ decide by themselves.

    Source: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD in https://man7.org/linux/man-pages/man3/mallopt.3.html.
    """
    bytes(_FREED_BYTES)
