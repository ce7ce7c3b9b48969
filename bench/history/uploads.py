"""What a save uploads to a bucket, all in all: its entry goes with the head of its task, and later into a segment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import msgspec

from bench.history.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Uploaded", "uploads"]


class Uploaded(NamedTuple):
    """What came by."""

    workload: str
    saves: int
    puts: int
    sent: int
    """Bytes of all bodies, also of what was deleted again."""
    kept: int
    """Bytes that are in the bucket at the end."""


def uploads(workloads: list[str], most: int) -> Iterator[Uploaded]:
    """Save each workload in a new bucket, through a proxy that counts."""
    import boto3

    import stowfast.sync
    from bench.s3 import proxy
    from bench.s3.server import server
    from stowfast import TaskState

    with server() as here, proxy.running(here.endpoint) as counted, patch.dict(os.environ, here.environment):
        s3 = boto3.client("s3", endpoint_url=here.endpoint)
        for workload in workloads:
            texts, saves = WORKLOADS[workload][0], min(WORKLOADS[workload][1], most)
            prefix = workload.replace(" ", "-")
            with stowfast.sync.open(f"s3://{here.bucket}/{prefix}?endpoint_url={counted}") as stores:
                proxy.take(counted)
                for number, text in enumerate(texts(saves)):
                    stores.tasks.save(
                        TaskState(task_id="t", context_id="c", data=msgspec.json.decode(text)), expect=number
                    )
            seen = [one for one in proxy.take(counted) if one.kind == "PUT"]
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=here.bucket, Prefix=prefix)
            kept = sum(one["Size"] for page in pages for one in page.get("Contents", ()))
            yield Uploaded(workload, saves, len(seen), sum(one.sent for one in seen), kept)
