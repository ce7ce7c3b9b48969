"""The contenders of both reports, and their jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.harness import contender
from bench.harness.contender import Entry

__all__ = ["MIB", "MIME_TYPE", "SESSION", "SMALL_BYTES", "STREAMED", "WHOLE", "Job"]

MIB: Final = 2**20
SMALL_BYTES: Final = 4_096
SESSION: Final = "session-1"
MIME_TYPE: Final = "application/pdf"

STREAMED: Final = {
    "stowfast": Entry("stowfast", "drivers:with_stowfast"),
    "blobs": Entry("blobs", "drivers:with_blobs"),
    "sqlite3": Entry("sqlite3", "drivers:with_sqlite3"),
    "sqlite3, hashed": Entry("sqlite3, hashed", "drivers:with_sqlite3_hashed"),
    "obstore": Entry("obstore", "drivers:with_obstore"),
    "obstore, hashed": Entry("obstore, hashed", "drivers:with_obstore_hashed"),
}
WHOLE: Final = {
    "stowfast": Entry("Stowfast", "whole:Stowfast"),
    "adk_file": Entry("ADK FileArtifactService", "adk:InFiles", "bench-adk"),
    "adk_s3": Entry("ADK S3ArtifactService", "adk:InBucket", "bench-adk"),
}


@dataclass(frozen=True, kw_only=True)
class Job(contender.Job):
    size: int
    """The MiB of a large artifact, or the number of writers or of artifacts."""
