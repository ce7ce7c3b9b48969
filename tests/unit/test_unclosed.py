"""Stores that nobody closes: a warning names them, and their threads and descriptors go with them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# In a process of its own: the tests keep a reference to every SQLite connection, to count those left open.
SCRIPT = """
import asyncio, gc, os, sys, threading, time, warnings
import stowfast

async def use(url):
    stores = await stowfast.open(url)
    await stores.messages.add_message("c", {})
    assert await stores.messages.count("c") == 1

def left():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()

before = left()
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    for number in range(100):
        asyncio.run(use(f"sqlite:///{sys.argv[1]}/{number}.db"))
    deadline = time.monotonic() + 30
    while left() > before and time.monotonic() < deadline:
        time.sleep(0.05)
with stowfast.sync.open(f"sqlite:///{sys.argv[1]}/closed.db") as stores:
    stores.messages.add_message("c", {})
unclosed = [one for one in warned if one.category is ResourceWarning and "never closed" in str(one.message)]
print(len(unclosed), left() <= before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc: run it on Linux")
def test_stores_that_are_never_closed_warn_and_leave_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=110, check=False
    )
    assert (ran.stdout, ran.stderr) == ("100 True\n", "")
