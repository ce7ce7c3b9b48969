"""The memory of pieces: the C library keeps it, so the system need not clear it for each piece."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PIECES = """
import resource, sys
from stowfast.heap import keep_pieces

if sys.argv[1] == "kept":
    keep_pieces()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(16):
        held = [b"%d" % number * 2**20 for number in range(4)]
        held.clear()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its rule for idle memory is glibc's: run it on Linux")
def test_pieces_are_made_of_memory_that_was_used_before() -> None:
    def new_pages(how: str) -> int:
        command = [sys.executable, "-c", PIECES, how]
        done = subprocess.run(command, env=usual, check=True, capture_output=True, text=True)
        return int(done.stdout)

    usual = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    pages = 64 * 2**20 // os.sysconf("SC_PAGE_SIZE")
    assert new_pages("left") > pages / 3  # else this test proves nothing
    assert new_pages("kept") < pages / 50
