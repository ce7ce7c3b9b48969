"""The limit: one unconditional PUT by the driver of Stowfast, of as many bytes as Stowfast's append had.

With the driver's plain interface: a process that has used the async one may abort when it ends.
"""

from __future__ import annotations

import random
from itertools import cycle
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import obstore
from obstore.store import S3Store

if TYPE_CHECKING:
    from bench.suites.s3.workloads import Job


class PutNew:
    """Each PUT writes a new key."""

    def open(self, job: Job) -> None:
        options = {"allow_http": True}
        self.store = S3Store(job.bucket, prefix=job.prefix, endpoint=job.endpoint, client_options=options)
        dice = random.Random(job.turn)
        # In any order: the sizes go up and down, and a turn is shorter than that.
        self.bodies = cycle([dice.randbytes(dice.choice(job.sizes or [1_000])) for _ in range(100)])

    def close(self) -> None:
        pass

    def add(self, name: str, _message: dict[str, Any]) -> None:
        obstore.put(self.store, f"{name}/{uuid4().hex}", next(self.bodies))


class PutOver(PutNew):
    """Each PUT replaces a key, as Stowfast's do: not every store does that as fast."""

    def add(self, name: str, _message: dict[str, Any]) -> None:
        obstore.put(self.store, name, next(self.bodies))
