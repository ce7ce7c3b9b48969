"""From a URL and options to a store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from stowfast.backends.objects.driver.amazon import Amazon
from stowfast.backends.objects.driver.azure import Azure
from stowfast.backends.objects.driver.failures import FAILURES, Address
from stowfast.backends.objects.driver.google import Google
from stowfast.backends.objects.driver.options import SCHEMES, Options, parse_options
from stowfast.backends.objects.driver.store import BucketClient
from stowfast.backends.objects.driver.transport import proxy_of
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.backends.objects.driver.service import Cloud

__all__ = ["open_store"]

_CLOUDS: Final[dict[str, Callable[[str, str, Options], Cloud]]] = {"s3": Amazon, "gs": Google, "az": Azure}
_ENDPOINTS: Final = {
    "s3": "https://s3.amazonaws.com",
    "gs": "https://storage.googleapis.com",
    "az": "https://blob.core.windows.net",
}
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
_LONGEST_PREFIX: Final = 256

AFTER_A_FORK: Final = (
    "its driver runs threads, which do not come through a fork: start processes with spawn or forkserver, or let no "
    "process open object storage before it forks"
)


class _Driver:
    """The driver in this process. It remembers nothing of a fork itself: a child's first request would never end."""

    used = False
    was_used_before_the_fork = False

    @classmethod
    def after_in_child(cls) -> None:
        cls.was_used_before_the_fork = cls.used


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Driver.after_in_child)


def open_store(url: str, **options: Any) -> BucketClient:
    """Make a store from a URL without query, and its options, which may be strings. Sends no request.

    Raises:
        InvalidError: the URL or an option is wrong. The error names the valid ones, and never a secret. Or this process
            was forked from one that had opened object storage.
        UnsupportedError: a profile was given, and boto3 is not installed.
    """
    scheme, bucket, prefix = _parse(url)
    if _Driver.was_used_before_the_fork:
        raise InvalidError(f"{scheme}: was opened before this process was forked: {AFTER_A_FORK}")
    _Driver.used = True
    return _client(scheme, bucket, prefix, parse_options(scheme, options))


def _client(scheme: str, bucket: str, prefix: str, given: Options) -> BucketClient:
    cloud = _CLOUDS[scheme](bucket, prefix, given)
    address = f"{scheme}://{bucket}{f'/{prefix}' if prefix else ''}"
    proxy = proxy_of(cloud.endpoint or _ENDPOINTS[scheme])
    place = Address(address, cloud.endpoint, cloud.secrets, cloud.remedy, proxy)
    pace = given.pace if given.pace is not None else cloud.pace
    parts = prefix.split("/") if prefix else []
    outer = ["/".join(parts[:count]) for count in range(len(parts))]
    try:
        return BucketClient(
            place, cloud.connect, timeout=given.timeout, storage_class=given.storage_class, pace=pace,
            linger=given.linger, anonymous=given.anonymous, read_only=given.read_only,
            removes=_removes(scheme, given), bundle=cloud.bundle,
            around=lambda: (_client(scheme, bucket, above, given) for above in outer),
        )  # fmt: skip
    except FAILURES as error:
        ours = place.explain(error, "opening")
    raise InvalidError(str(ours)) from ours.__cause__


def _removes(scheme: str, given: Options) -> bool:
    """Say whether a signed URL may be enough for a DELETE under a condition.

    Google's condition, and the consent of a paying sender, are headers of which the signature would have to know.
    """
    return scheme in {"s3", "az"} and not (given.anonymous or given.request_payer or given.read_only)


def _parse(url: str) -> tuple[str, str, str]:
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in SCHEMES:
        known = ", ".join(f"{known}://bucket/prefix" for known in SCHEMES)
        raise InvalidError(f"the URL of an object store is one of {known}")
    if "?" in rest or "#" in rest:
        raise InvalidError(f"{scheme}: the options of a URL stand behind its first ?, and a # has no meaning in it")
    bucket, _, path = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise InvalidError(
            f"{scheme}: no credentials and no host stand in the URL: write {scheme}://bucket/prefix, and "
            "endpoint_url= and the credentials as options or in the environment"
        )
    if not bucket:
        raise InvalidError(f"{scheme}: the name of the bucket is missing: write {scheme}://bucket/prefix")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidError(f"{scheme}: the name of a bucket has letters, digits and . - _ inside, 3 or more")
    prefix = unquote(path, errors="surrogateescape").strip("/")
    segments = prefix.split("/") if prefix else []
    if any(part in ("", ".", "..") for part in segments):
        raise InvalidError(f"{scheme}: the prefix has an empty part, a . or a .. in it: leave them out")
    if any(f"{name}=" in prefix for names in SCHEMES.values() for name in names):
        raise InvalidError(f"{scheme}: an option is in the prefix: options stand behind a ?, and & is between them")
    if any("\udc80" <= character <= "\udcff" for character in prefix):
        raise InvalidError(f"{scheme}: the prefix is not UTF-8 once its %xx are decoded: write a % as %25")
    if not prefix.isprintable() or "\\" in prefix or len(prefix.encode(errors="replace")) > _LONGEST_PREFIX:
        raise InvalidError(f"{scheme}: a prefix is at most {_LONGEST_PREFIX} bytes of printable text without \\")
    return scheme, bucket, prefix
