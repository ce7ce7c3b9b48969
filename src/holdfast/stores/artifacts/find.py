"""Finding a version of an artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import InvalidError, NotFoundError
from holdfast.stores.artifacts.records import Version, stream_of
from holdfast.stores.codec import check_integers

if TYPE_CHECKING:
    from holdfast.abc import Backend, Head

__all__ = ["find_head", "find_version", "must_find_version"]


async def find_head(backend: Backend, artifact_id: str) -> Head | None:
    """Return the head of an artifact; None where there is none, or it is only announced and has no version yet."""
    (head,) = await backend.heads([stream_of(artifact_id)])
    return head if head is not None and head.next else None


async def find_version(backend: Backend, artifact_id: str, version: int | None) -> Version | None:
    """Return a version, the newest where none is asked for; None where there is none."""
    stream = stream_of(artifact_id)
    check_integers(version=version)
    if version is None:
        head, entries = await backend.read(stream, limit=1, newest=True)
    elif version < 1:
        raise InvalidError(f"version={version}: versions begin at 1")
    else:
        head, entries = await backend.read(stream, start=version - 1, stop=version)
    return Version.read(artifact_id, head, entries[0]) if head is not None and entries else None


async def must_find_version(backend: Backend, artifact_id: str, version: int | None) -> Version:
    """Return a version, the newest where none is asked for.

    Raises:
        NotFoundError: there is no such artifact, or no such version.
    """
    found = await find_version(backend, artifact_id, version)
    if found is None:
        raise NotFoundError(
            f"there is no artifact {artifact_id!r}"
            if version is None
            else f"artifact {artifact_id!r} has no version {version}"
        )
    return found
