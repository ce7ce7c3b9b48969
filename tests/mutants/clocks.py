"""Broken tasks and artifacts: they trust a time in the future."""

from __future__ import annotations

import json

from stowfast import Tasks
from stowfast.names import clock
from stowfast.stores.codec import to_time
from stowfast.testing.artifacts import clocks as artifacts
from stowfast.testing.tasks import clocks as tasks
from stowfast.wrappers import Wrapper
from tests.mutants import breaks


def altered(note, **fields):
    return json.dumps({**json.loads(note), **fields}).encode()


@breaks(tasks.a_lease_from_a_clock_ahead_has_ended)
class HasLeasesOfAnyLength(Wrapper):
    async def commit(self, stream, change):
        holder = json.loads(change.note or b"{}").get("holder")
        if holder:
            change = change._replace(note=altered(change.note, holder={**holder, "length": 2**61}))
        return await super().commit(stream, change)


@breaks(tasks.a_lease_from_a_clock_ahead_has_ended)
class RenewsWithoutTheLength(Wrapper):
    async def commit(self, stream, change):
        (head,) = await self.heads([stream])
        before = json.loads(head.note or b"{}").get("holder") if head else None
        after = json.loads(change.note or b"{}").get("holder")
        if before and after and before["token"] == after["token"]:
            change = change._replace(note=altered(change.note, holder={**after, "length": before["length"]}))
        return await super().commit(stream, change)


@breaks(tasks.a_change_from_a_clock_ahead_keeps_no_worker_away)
class WaitsForTheFuture(Tasks):
    async def claim_next(self, owner, ttl, *, context_id=None, **where):
        now = to_time(await self._backend.now())
        ahead = [info for info in await self.list(context_id=context_id) if info.updated_at and info.updated_at > now]
        return None if ahead else await super().claim_next(owner, ttl, context_id=context_id, **where)


@breaks(artifacts.a_live_writer_from_a_clock_ahead_counts_as_dead)
class HearsOfItNow(Wrapper):
    async def commit(self, stream, change):
        if change.note and stream.startswith("live/"):
            change = change._replace(note=altered(change.note, at=clock()))
        return await super().commit(stream, change)


@breaks(artifacts.a_live_writer_from_a_clock_ahead_counts_as_dead)
class TakesNoClockToDiffer(Wrapper):
    async def commit(self, stream, change):
        if change.note and stream.startswith("live/"):
            note = json.loads(change.note)
            change = change._replace(note=altered(change.note, at=note["at"] + 60_000_000))
        return await super().commit(stream, change)
