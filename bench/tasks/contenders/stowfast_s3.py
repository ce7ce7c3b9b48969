"""Stowfast on a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.tasks.contenders.stowfast_sqlite import Stowfast
from bench.tasks.stopwatch import serve

if TYPE_CHECKING:
    from bench.tasks.workloads import Job


class StowfastOnS3(Stowfast):
    def url(self, job: Job) -> str:
        return f"s3://{job.place}?endpoint_url={job.endpoint}"


if __name__ == "__main__":
    serve(StowfastOnS3)
