"""Broken lists by recency."""

from __future__ import annotations

from stowfast.backends.memory import MemoryBackend
from stowfast.testing.backend import recency
from stowfast.testing.messages import recency as messages_recency
from tests.mutants import breaks
from tests.mutants.stores import Alters


@breaks(recency.a_quiet_change_moves_no_stream, messages_recency.a_list_by_recency_is_ordered_by_messages)
class CountsEveryChange(Alters):
    def altered(self, change):
        return change._replace(quiet=False)


@breaks(recency.a_quiet_change_moves_no_stream)
class ListsTheLastNameFirst(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query)
        return page._replace(streams=sorted(page.streams, key=lambda one: one.name, reverse=True))


@breaks(recency.streams_changed_at_once_are_in_their_order)
class CountsWholeSeconds(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query)
        if query.order == "name":
            return page
        rounded = [one._replace(updated_at=one.updated_at // 10_000_000) for one in page.streams]
        return page._replace(streams=sorted(rounded, key=lambda one: (-one.updated_at, one.name)))


@breaks(recency.streams_changed_at_once_are_in_their_order)
class ListsTheFirstChangedFirst(MemoryBackend):
    async def streams(self, query):
        page = await super().streams(query)
        return page._replace(streams=page.streams[::-1])
