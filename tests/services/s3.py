"""Which S3 server the tests use: the one that is named, else Ceph, else, outside of CI, a stand-in.

    python -m tests.services.s3 install      have what that needs, before the tests begin

- `STOWFAST_TEST_S3_URL=s3://bucket/prefix?endpoint_url=...` names one, with credentials as AWS's tools read them.
- Ceph runs wherever its packages are; as root on Debian or Ubuntu they are installed.
- `STOWFAST_TEST_S3=faulty` chooses the stand-in, `faulty_s3` without faults, for a quick run.
"""

from __future__ import annotations

import os
import sys
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tests.services import ceph
from tests.services.bucket import REGION, create_bucket
from tests.services.process import ServiceError
from tests.services.shared import begin, folder_of, locked, share

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMED = "STOWFAST_TEST_S3_URL"
FORCED = "STOWFAST_TEST_S3"
BUCKET = "stowfast"
# Whatever else the machine says about AWS would speak of another server.
OTHER = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
LEFT_OUT = "a stand-in in memory; left out: a real server, and its gateway killed and started again"


def choice() -> str:
    """Return the kind: named, ceph or faulty. Starts nothing."""
    if os.environ.get(NAMED):
        return "named"
    # A green run that left the real server out would prove less than it seems to.
    in_ci = os.environ.get("CI", "").lower() in {"true", "1"}
    if forced := os.environ.get(FORCED):
        if forced not in ({"ceph"} if in_ci else {"ceph", "faulty"}):
            raise ServiceError(f"{FORCED} is ceph or, except in CI, faulty: not {forced}")
        return forced
    if ceph.installed() or ceph.can_install():
        return "ceph"
    if in_ci:
        raise ServiceError(f"CI tests against Ceph: apt-get install {' '.join(ceph.PACKAGES)}, or set {NAMED}")
    return "faulty"


def install() -> None:
    if choice() == "ceph":
        ceph.install()


@dataclass(frozen=True)
class S3Server:
    """A running server, and a prefix of one of its buckets for this run alone."""

    kind: str
    bucket: str
    prefix: str
    options: tuple[tuple[str, str], ...]

    def url(self, prefix: str | None = None) -> str:
        """As Stowfast takes it; without a prefix, of a place where nobody has been."""
        path = quote("/".join(filter(None, (self.bucket, self.prefix, prefix or uuid.uuid4().hex))))
        return f"s3://{path}?{urlencode(self.options)}"

    @property
    def endpoint(self) -> str | None:
        return dict(self.options).get("endpoint_url")

    @property
    def environment(self) -> dict[str, str | None]:
        """The environment variables of the tests that use it; None removes one."""
        if self.kind == "named":
            return {}
        keys = {"AWS_ACCESS_KEY_ID": ceph.Ceph.access_key, "AWS_SECRET_ACCESS_KEY": ceph.Ceph.secret_key}
        regions = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        return {**keys, **regions, **dict.fromkeys(OTHER)}


@dataclass(frozen=True)
class S3Gateway(S3Server):
    """A way of its own into the shared Ceph. Kill it, and nobody else notices."""

    gateway: ceph.Gateway

    def kill(self) -> None:
        """SIGKILL: requests under way are done or not, and connections are refused."""
        self.gateway.kill()

    def restart(self) -> None:
        """On the same port; returns when it answers."""
        self.gateway.start()


def prepare() -> None:
    """Begin the start, so the server is ready for the first test. An error here fails that test."""
    with suppress(ServiceError):
        with locked(folder_of("install.lock")):
            install()
        if (kind := choice()) != "named":
            begin(kind)


def connect() -> S3Server:
    """The server of this run, started by the first request for it."""
    kind = choice()
    if kind == "named":
        parts = urlsplit(os.environ[NAMED])
        prefix = f"{parts.path.strip('/')}/{folder_of('').name}".strip("/")
        return S3Server(kind, parts.netloc, prefix, tuple(parse_qsl(parts.query)))
    endpoint = share(kind)
    create_bucket(BUCKET, endpoint, ceph.Ceph.access_key, ceph.Ceph.secret_key)
    return S3Server(kind, BUCKET, "", (("endpoint_url", endpoint),))


@contextmanager
def connect_alone(server: S3Server) -> Iterator[S3Gateway]:
    """One more gateway to the same bucket."""
    gateway = ceph.Ceph(folder_of("ceph")).gateway()
    try:
        options = (("endpoint_url", gateway.endpoint),)
        yield S3Gateway(server.kind, server.bucket, server.prefix, options, gateway)
    finally:
        gateway.stop()


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit(__doc__)
    try:
        install()
    except ServiceError as error:
        sys.exit(str(error))
