"""Finding a version of an artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import Window
from stowfast.errors import InvalidError, NotFoundError
from stowfast.stores.artifacts.live.build import live_stream_of
from stowfast.stores.artifacts.records import Version, newest_of, stream_of
from stowfast.stores.codec import check_integers
from stowfast.stores.optimistic import find_receipt

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head
    from stowfast.records import ArtifactInfo

__all__ = ["find_by_op_id", "find_head", "find_newest", "find_version", "list_versions", "must_find_version"]

_PAGE_BYTES: Final = 2**20


async def find_head(backend: Backend, artifact_id: str) -> Head | None:
    """Return the head of an artifact; None where there is none, or it is only announced and has no version yet."""
    (head,) = await backend.heads([stream_of(artifact_id)])
    return head if head is not None and head.next else None


async def find_by_op_id(backend: Backend, artifact_id: str, op_id: str) -> Version | None:
    """Return the version stored by a call with this op_id; None if the op_id is unknown or the version is gone."""
    stream = stream_of(artifact_id)
    receipt = await find_receipt(backend, stream, op_id)
    if receipt is None:
        return None
    head, entries = await backend.read(stream, Window(start=receipt.first, stop=receipt.next))
    if head is None or head.incarnation != receipt.incarnation or not entries:
        return None
    return Version.read(artifact_id, head, entries[0])


async def find_version(backend: Backend, artifact_id: str, version: int | None) -> Version | None:
    """Return a version, the newest where none is asked for; None where there is none."""
    stream = stream_of(artifact_id)
    check_integers(version=version)
    if version is None:
        head, entries = await backend.read(stream, Window(limit=1, newest=True))
    elif version < 1:
        raise InvalidError(f"version={version}: versions begin at 1")
    else:
        head, entries = await backend.read(stream, Window(start=version - 1, stop=version))
    return Version.read(artifact_id, head, entries[0]) if head is not None and entries else None


async def find_newest(backend: Backend, head: Head) -> ArtifactInfo:
    """Return the newest version with its schema: as the head describes it, or else as the entry does."""
    info = newest_of(head)
    if "schema" not in info.left_out:
        return info
    found = await find_version(backend, info.artifact_id, None)
    return info if found is None else found.info


async def must_find_version(backend: Backend, artifact_id: str, version: int | None) -> Version:
    """Return a version, the newest where none is asked for.

    Raises:
        NotFoundError: there is no such artifact, or no such version.
    """
    found = await find_version(backend, artifact_id, version)
    if found is not None:
        return found
    if version is not None and await find_head(backend, artifact_id) is not None:
        raise NotFoundError(f"artifact {artifact_id!r} has no version {version}")
    (live,) = await backend.heads([live_stream_of(artifact_id)])
    raise NotFoundError(
        f"there is no artifact {artifact_id!r}"
        if live is None
        else f"artifact {artifact_id!r} has no version yet, only what `follow` gives: its live build is not finished"
    )


async def list_versions(backend: Backend, artifact_id: str) -> list[ArtifactInfo]:
    """Return every version without its content, the oldest first."""
    stream = stream_of(artifact_id)
    found: list[ArtifactInfo] = []
    incarnation, position = None, 0
    while True:
        head, entries = await backend.read(stream, Window(start=position, max_bytes=_PAGE_BYTES))
        if head is None or not entries or head.incarnation != (incarnation or head.incarnation):
            return found
        incarnation = head.incarnation
        found += [Version.read(artifact_id, head, entry).info for entry in entries]
        position = entries[-1].position + 1
        if position >= head.next:
            return found
