"""Stowfast as an agent in an event loop uses it. Durability "full" is its default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast
from bench.stopwatch import serve

if TYPE_CHECKING:
    from pathlib import Path


class StowfastAsync:
    async def open(self, path: Path) -> None:
        self.opened = stowfast.open(f"sqlite:///{path}")
        stores = await self.opened.__aenter__()
        self.messages = stores.messages
        self.add = stores.messages.add_message
        self.add_all = stores.messages.add_messages
        self.load = stores.messages.get_messages

    async def close(self) -> None:
        await self.opened.__aexit__(None, None, None)

    async def last(self, context: str, count: int) -> list[dict[str, object]]:
        return await self.messages.get_messages(context, last=count)

    async def stream(self, context: str) -> int:
        count = 0
        async for _ in self.messages.entries(context):
            count += 1
        return count


if __name__ == "__main__":
    serve(StowfastAsync)
