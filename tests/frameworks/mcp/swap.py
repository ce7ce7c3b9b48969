"""Puts Stowfast's event store under the test servers of the MCP SDK.

Their tests expect the ids of their own store: 1, 2, 3. So each of our events has such a number, too; their store
records the numbers, and ours stores and replays the events.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

from swapping import fresh_url

from stowfast.adapters.mcp import StowfastEventStore

if TYPE_CHECKING:
    import pytest
    from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
    from mcp_types import JSONRPCMessage

# It finds calls that block inside the SDK. Its own requirement cannot be had as a wheel.
sys.modules["blockbuster"] = MagicMock()

from tests.interaction.transports import _event_store  # type: ignore[import-not-found] # noqa: E402 - needs the stub

_opened: list[StowfastEventStore] = []


def swapped(theirs: type[EventStore]) -> type[EventStore]:
    """Return a class in the place of one of their stores: it records as theirs, and stores in ours."""

    class Swapped(theirs):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.ours = StowfastEventStore(fresh_url())
            self.numbers: dict[str, str] = {}
            self.by_id: dict[str, str] = {}
            _opened.append(self.ours)

        async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
            event_id = await self.ours.store_event(stream_id, message)
            number: str = await super().store_event(stream_id, message)
            self.numbers[number], self.by_id[event_id] = event_id, number
            return number

        async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
            async def send(event: EventMessage) -> None:
                while (event_id := str(event.event_id)) not in self.by_id:  # noqa: ASYNC110 - a test may await no event
                    await asyncio.sleep(0)  # it is stored, and has no number yet
                event.event_id = self.by_id[event_id]
                await send_callback(event)

            return await self.ours.replay_events_after(self.numbers.get(last_event_id, last_event_id), send)

    return Swapped


# Before their tests import it.
_event_store.SequencedEventStore = swapped(_event_store.SequencedEventStore)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Swap the store that a module of tests has of its own."""
    for module in {getattr(item, "module", None) for item in items}:
        if module is not None and hasattr(module, "SimpleEventStore"):
            module.SimpleEventStore = swapped(module.SimpleEventStore)


def pytest_unconfigure() -> None:
    """Close the stores."""
    for one in _opened:
        asyncio.run(one.close())
