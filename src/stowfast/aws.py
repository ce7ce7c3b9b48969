"""The stores on S3, by the names people look for: each usable alone, over the object-storage engine.

    async with S3MessageStore("my-bucket", prefix="agents/prod") as store:
        await store.add_message("ctx-1", {"role": "user", "content": "hi"})

`stowfast.open("s3://my-bucket/agents/prod")` gives all three together, over the same bytes. Needs `stowfast[s3]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote

from stowfast.errors import InvalidError
from stowfast.names import check_name
from stowfast.registry import find
from stowfast.stores import Artifacts, Messages, Tasks

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.backends.objects.backend import ObjectBackend

__all__ = ["S3ArtifactStore", "S3MessageStore", "S3TaskStateStore"]


class _InBucket:
    """A store in a bucket of S3 or a compatible service. The first call tests the bucket.

    Args:
        bucket: the name of an existing bucket.
        prefix: the start of all keys, so that several applications can share a bucket. No prefix may lie inside another
            one that is in use, nor around it.
        region: the region of the bucket; default: that of the environment or the profile.
        endpoint_url: the address of a service compatible with S3; `http:` is allowed.
        options: as in a URL `s3://bucket?...`: `access_key_id`, `secret_access_key`, `session_token`, `profile`,
            `path_style`, `server_side_encryption`, `timeout`, ... Defaults come from the same places as
            those of the AWS tools.

    Raises:
        InvalidError: an argument is wrong; the message names it and the valid ones.
        UnsupportedError: the driver is not installed; or, at the first call, the service ignores conditional writes.
    """

    _backend: Backend

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        region: str | None = None,
        endpoint_url: str | None = None,
        **options: Any,
    ) -> None:
        check_name(bucket, "bucket")
        if prefix:
            check_name(prefix, "prefix")
        if not bucket.isascii() or any(character in "/?#@%" for character in bucket):
            raise InvalidError("this is no name of a bucket: give prefix= and options by themselves")
        backend, url, _ = find(f"s3://{bucket}/{quote(prefix or '')}")
        place = cast("type[ObjectBackend]", backend).at(url, region=region, endpoint_url=endpoint_url, **options)
        super().__init__(place)  # type: ignore[call-arg]

    async def close(self) -> None:
        """Finish the writes under way and let go of the bucket. Closing twice is closing once."""
        await self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class S3MessageStore(_InBucket, Messages):
    """Conversations in a bucket of S3, or of a store like it. Its arguments are those of all three; see this module."""


class S3ArtifactStore(_InBucket, Artifacts):
    """Artifacts in a bucket of S3, or of a store like it. Its arguments are those of all three; see this module."""


class S3TaskStateStore(_InBucket, Tasks):
    """Task states in a bucket of S3, or of a store like it. Its arguments are those of all three; see this module."""
