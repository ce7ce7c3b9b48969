"""Broken puts, expiries and waits of artifacts."""

from __future__ import annotations

import asyncio

from stowfast import Artifacts, ConflictError, NotFoundError
from stowfast.abc import KEEP
from stowfast.testing.artifacts import puts, versions
from stowfast.wrappers import Wrapper
from tests.mutants import breaks, ignores
from tests.mutants.stores import ForgetsOpIds

breaks(puts.a_lost_answer_doubles_no_version)(ForgetsOpIds)
ignores(Artifacts, "put", "expect", puts.a_put_creates_or_updates_an_artifact)
ignores(Artifacts, "put", "ttl", puts.an_artifact_expires)
for _opens in ("open_writer", "open_live", "open_dataset"):
    ignores(Artifacts, _opens, "ttl", puts.what_a_writer_wrote_expires)
ignores(Artifacts, "open_live", "ttl", puts.what_is_written_live_moves_its_end_on)
for option in ("prefix", "where", "order"):
    ignores(Artifacts, "list", option, versions.artifacts_are_found_by_metadata_and_prefix)
ignores(Artifacts, "follow", "wait", puts.a_follower_may_come_first)


@breaks(puts.racing_puts_are_all_stored, puts.a_put_outlives_a_racing_create_or_delete)
class LooksBeforeItPuts(Artifacts):
    async def put(self, artifact, **options):
        known = await self.info(artifact.artifact_id)
        await asyncio.sleep(0)
        if known is None:
            return await self.create(artifact)
        return await self.update(artifact)


@breaks(puts.a_put_creates_or_updates_an_artifact)
class BeginsAnew(Artifacts):
    async def put(self, artifact, **options):
        await self.delete(artifact.artifact_id)
        return await self.create(artifact)


@breaks(puts.a_put_outlives_a_racing_create_or_delete)
class TriesOnce(Artifacts):
    async def put(self, artifact, **options):
        try:
            return await self.update(artifact, **options)
        except NotFoundError:
            try:
                return await self.create(artifact)
            except ConflictError:
                artifact.context_id = "another"
                return await self.update(artifact, **options)


@breaks(puts.an_artifact_expires)
class SetsNoExpiry(Artifacts):
    async def set_expiry(self, artifact_id, expires_at):
        pass


@breaks(puts.what_is_written_live_moves_its_end_on)
class KeepsTheFirstEnd(Wrapper):
    async def commit(self, stream, change):
        later = stream.startswith("live/") and change.entries
        return await super().commit(stream, change._replace(expires_at=KEEP) if later else change)


@breaks(puts.what_is_written_live_moves_its_end_on)
class EndsBuildsByTheTtl(Wrapper):
    async def commit(self, stream, change):
        written = stream.startswith("live/") and change.entries
        return await super().commit(stream, change._replace(expires_at=KEEP, ttl=0) if written else change)
