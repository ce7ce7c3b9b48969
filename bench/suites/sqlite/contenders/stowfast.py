"""Stowfast, with its default durability, "full"."""

from __future__ import annotations

from operator import attrgetter

from bench.suites.stores import AsyncStores, SyncStores


class _Verbs:
    add = property(attrgetter("stores.messages.add_message"))
    add_all = property(attrgetter("stores.messages.add_messages"))
    load = property(attrgetter("stores.messages.get_messages"))


class StowfastAsync(_Verbs, AsyncStores):
    async def last(self, context: str, count: int) -> list[dict[str, object]]:
        return await self.stores.messages.get_messages(context, last=count)

    async def stream(self, context: str) -> int:
        count = 0
        async for _ in self.stores.messages.entries(context):
            count += 1
        return count


class StowfastSync(_Verbs, SyncStores):
    def last(self, context: str, count: int) -> list[dict[str, object]]:
        return self.stores.messages.get_messages(context, last=count)

    def stream(self, context: str) -> int:
        return sum(1 for _ in self.stores.messages.entries(context))
