"""Large sources of an import: 200 sessions, four of them long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stowfast import importing

if TYPE_CHECKING:
    from stowfast.moving import Copied

LENGTHS: Final = {f"session {number}": 600 if number % 50 == 7 else 1 + number % 20 for number in range(200)}
"""The sessions, and the number of messages in each."""


async def import_twice(kind: str, source: str, url: str, *, key: str | None = None) -> Copied:
    """Import a source twice, print the rate of the first time, and return its counts. The second adds nothing."""
    began = time.perf_counter()
    done = await importing.import_from(kind, source, url, key=key)
    seconds = time.perf_counter() - began
    print(f"{kind}: {done.entries:,} entries in {seconds:.2f} s, {done.entries / seconds:,.0f} a second")
    assert done.differences == []
    again = await importing.import_from(kind, source, url, key=key)
    assert (again.streams, again.entries, again.differences) == (0, 0, [])
    assert again.already_there == done.streams
    return done
