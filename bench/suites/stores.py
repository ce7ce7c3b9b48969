"""Stowfast's stores, opened for a contender: in an event loop, as an agent uses them, or without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast
import stowfast.sync

if TYPE_CHECKING:
    from bench.harness.contender import Job

__all__ = ["AsyncStores", "SyncStores"]


class AsyncStores:
    async def open(self, job: Job) -> None:
        self.opened = stowfast.open(job.url)
        self.stores = await self.opened.__aenter__()

    async def close(self) -> None:
        await self.opened.__aexit__(None, None, None)


class SyncStores:
    def open(self, job: Job) -> None:
        self.opened = stowfast.sync.open(job.url)
        self.stores = self.opened.__enter__()

    def close(self) -> None:
        self.opened.__exit__(None, None, None)
