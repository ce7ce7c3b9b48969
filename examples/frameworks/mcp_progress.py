"""A server that tells a client its progress. Kill it, and start it again: the client gets what it missed, once.

    pip install 'stowfast[mcp]'
    python examples/frameworks/mcp_progress.py [URL] [STEPS] [EVENT_ID]

The work is scripted and needs no network. The first start prints the id of the first event. A client that was cut off
sends such an id as `Last-Event-ID`; here it is an argument.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from mcp_types import JSONRPCNotification

from stowfast.adapters.mcp import StowfastEventStore

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventMessage

STREAM = "session-1/request-1"


async def main(url: str, steps: int, event_id: str | None) -> None:
    """Replay the steps that the client missed, and do the rest."""
    done = 0

    async def send(_: EventMessage) -> None:
        nonlocal done
        done += 1

    async with StowfastEventStore(url) as store:
        if event_id is None:
            print("begin", await store.store_event(STREAM, None), flush=True)
        else:
            await store.replay_events_after(event_id, send)
            print("replayed", done, flush=True)
        for step in range(done, steps):
            event = JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params={"progress": step})
            await store.store_event(STREAM, event)
            print("sent", step, flush=True)


if __name__ == "__main__":
    given = [*sys.argv[1:], *["sqlite:///events.db", "12", ""][len(sys.argv) - 1 :]]
    asyncio.run(main(given[0], int(given[1]), given[2] or None))
