"""The bucket: on a Ceph of our own where it can be had, else on moto, else wherever it is told."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import boto3

from bench.peers import HOME
from tests.services.ceph import Ceph
from tests.services.process import HOST, ServiceError, answers, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Server", "server"]

PATIENCE: Final = 30


class Server(NamedTuple):
    """Where the bucket is, and the environment that all clients take their credentials from; empty: as it is."""

    name: str
    endpoint: str
    environment: dict[str, str]
    bucket: str


@contextmanager
def server(endpoint: str | None = None) -> Iterator[Server]:
    """Have a new bucket, at `endpoint` with the environment's credentials or on a server that is made for it."""
    bucket = f"stowfast-bench-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        if endpoint:
            here = Server(endpoint, endpoint, {}, bucket)
        else:
            try:
                here = stack.enter_context(_ceph(bucket))
            except ServiceError as error:
                print(f"no Ceph, so moto answers: {str(error).splitlines()[0]}", file=sys.stderr)
                here = stack.enter_context(_moto(bucket))
        s3 = boto3.resource(
            "s3",
            endpoint_url=here.endpoint,
            aws_access_key_id=here.environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=here.environment.get("AWS_SECRET_ACCESS_KEY"),
            region_name=here.environment.get("AWS_REGION"),
        )
        s3.create_bucket(Bucket=bucket)
        try:
            yield here
        finally:
            if endpoint:  # of our own servers nothing stays
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
def _moto(bucket: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not wait_until(lambda: answers(port), PATIENCE):
            raise ServiceError(f"moto does not answer after {PATIENCE} s")
        yield Server("moto, not a real server", f"http://{HOST}:{port}", _credentials("moto", "moto"), bucket)
    finally:
        process.terminate()
        process.wait()
