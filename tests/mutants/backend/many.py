"""Broken backends: many changes and many reads in one call."""

from __future__ import annotations

import asyncio

from stowfast.backends.memory import MemoryBackend
from stowfast.errors import StowfastError
from stowfast.testing.backend import many
from tests.mutants import breaks


@breaks(many.many_changes_are_made_each_by_itself)
class StopsAtTheFirstError(MemoryBackend):
    async def commit_many(self, changes):
        found = []
        for stream, change in changes:
            found += await super().commit_many([(stream, change)])
            if isinstance(found[-1], StowfastError):
                return [*found, *[found[-1]] * (len(changes) - len(found))]
        return found


@breaks(many.many_changes_are_made_each_by_itself)
class GroupsByStream(MemoryBackend):
    async def commit_many(self, changes):
        return await super().commit_many(sorted(changes, key=lambda change: change[0]))


@breaks(many.many_racing_calls_lose_nothing)
class CommitsTheLastOfEachStream(MemoryBackend):
    async def commit_many(self, changes):
        last = dict(changes)
        made = dict(zip(last, await super().commit_many(list(last.items())), strict=True))
        return [made[stream] for stream, _ in changes]


@breaks(many.many_racing_calls_lose_nothing)
class CommitsSideBySide(MemoryBackend):
    async def commit(self, stream, change):
        if change.is_plain and change.entries[0].endswith(b" 0"):
            await asyncio.sleep(0.001)
        return await super().commit(stream, change)

    async def commit_many(self, changes):
        return await asyncio.gather(*(self.commit(stream, change) for stream, change in changes))


@breaks(many.many_reads_are_each_as_alone)
class ReadsEachStreamOnce(MemoryBackend):
    async def read_many(self, reads):
        return await super().read_many(list(dict(reads).items()))


@breaks(many.many_reads_are_each_as_alone)
class IgnoresTheWindows(MemoryBackend):
    async def read_many(self, reads):
        return await super().read_many([(stream, type(window)()) for stream, window in reads])
