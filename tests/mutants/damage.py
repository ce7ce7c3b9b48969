"""Broken stores: one damaged stream stops them."""

from __future__ import annotations

from dataclasses import replace

from stowfast import Artifacts, DamagedError, Tasks
from stowfast.testing.artifacts import versions
from stowfast.testing.tasks import damage
from tests.mutants import breaks


@breaks(versions.a_damaged_artifact_hides_no_other)
class StopsAtADamagedArtifact(Artifacts):
    async def list(self, **options):
        page = await super().list(**options)
        if page.damaged:
            raise DamagedError(f"{page.damaged} are damaged")
        return page


@breaks(damage.a_damaged_task_hides_no_other)
class LeavesOutInSilence(Tasks):
    async def list(self, **options):
        return replace(await super().list(**options), damaged=[])


@breaks(damage.a_damaged_task_hides_no_other)
class WorksOnNothingDamaged(Tasks):
    async def claim_next(self, owner, ttl, **where):
        return None if (await self.list(**where)).damaged else await super().claim_next(owner, ttl, **where)
