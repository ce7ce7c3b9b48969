"""A new bucket: at a given endpoint, else on a Ceph of our own, else on the stand-in of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import boto3

from bench.harness.peers import HOME
from tests.services.ceph import Ceph
from tests.services.process import ServiceError
from tests.services.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Server", "server"]


class Server(NamedTuple):
    """A bucket, and the environment with the credentials for it; empty at a given endpoint."""

    name: str
    endpoint: str
    environment: dict[str, str]
    bucket: str


@contextmanager
def server(endpoint: str | None = None) -> Iterator[Server]:
    """Have a new bucket. Its credentials are in the environment of this process, and so in its children's."""
    bucket = f"stowfast-bench-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        if endpoint:
            here = Server(endpoint, endpoint, {}, bucket)
        else:
            try:
                here = stack.enter_context(_ceph(bucket))
            except ServiceError as error:
                print(f"no Ceph, so the stand-in of the tests answers: {str(error).splitlines()[0]}", file=sys.stderr)
                here = stack.enter_context(_stand_in(bucket))
        os.environ.update(here.environment)
        s3 = boto3.resource("s3", endpoint_url=here.endpoint)
        s3.create_bucket(Bucket=bucket)
        try:
            yield here
        finally:
            if endpoint:  # our own servers leave nothing
                s3.Bucket(bucket).objects.delete()
                s3.Bucket(bucket).delete()


def _credentials(access_key: str, secret_key: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    return keys | {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}


@contextmanager
def _ceph(bucket: str) -> Iterator[Server]:
    HOME.mkdir(exist_ok=True)
    ceph = Ceph(Path(tempfile.mkdtemp(dir=HOME, prefix="ceph-")))
    try:
        ceph.start()
        said = subprocess.run(["radosgw", "--version"], capture_output=True, text=True, check=True).stdout
        keys = _credentials(ceph.access_key, ceph.secret_key)
        yield Server(f"Ceph {said.split()[2]}", ceph.endpoint, keys, bucket)
    finally:
        ceph.remove()


@contextmanager
def _stand_in(bucket: str) -> Iterator[Server]:
    stand_in = StandIn(Path(tempfile.mkdtemp(dir=HOME, prefix="stand-in-")))
    try:
        stand_in.start()
        yield Server(
            "a stand-in in memory, not a real server", stand_in.endpoint, _credentials("key", "secret"), bucket
        )
    finally:
        stand_in.remove()
