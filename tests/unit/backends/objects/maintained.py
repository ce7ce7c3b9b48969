"""Waits for the maintenance of a stream in a bucket: its requests come after the answer of the commit that began it."""

from __future__ import annotations

import asyncio
import time
from typing import Any


async def maintained(stores: Any, stream: str) -> None:
    """Wait until no commit, seal, merge or removal of a stream is under way in these stores."""
    line = stores.backend._lines._line(stream)
    work = line.maintenance
    patience = time.monotonic() + 60
    while line.led or line.jobs or work._sealing or work._merging or work._burying:
        assert time.monotonic() < patience, "the maintenance does not end"
        await asyncio.sleep(0.001)
