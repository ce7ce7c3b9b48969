"""Stowfast, with its default pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast
from bench.suites.sqlite.contenders.stowfast import StowfastAsync

if TYPE_CHECKING:
    from bench.harness.contender import Job


class Stowfast(StowfastAsync):
    async def open(self, job: Job) -> None:
        self.opened = stowfast.open(job.location)
        self.stores = await self.opened.__aenter__()
