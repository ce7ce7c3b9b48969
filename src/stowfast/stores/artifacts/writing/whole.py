"""Whole versions: a new artifact, the next version of one, or either of the two."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stowfast.abc import Change
from stowfast.errors import ConflictError, InvalidError, NotFoundError, shown
from stowfast.records import Artifact, ArtifactInfo
from stowfast.stores.artifacts.lookup import find_head
from stowfast.stores.artifacts.writing.commit import add
from stowfast.stores.artifacts.writing.content import source_of
from stowfast.stores.codec import check_integers, from_duration
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from datetime import timedelta

    from stowfast.abc import Backend
    from stowfast.stores.artifacts.writing.content import Content

__all__ = ["create", "put", "update", "version_change"]


async def create(backend: Backend, artifact: Artifact, op_id: str | None, ttl: timedelta | None) -> ArtifactInfo:
    """Store version 1 of a new artifact."""
    return await add(backend, artifact, _content(artifact), version_change(0, op_id, ttl))


async def update(
    backend: Backend, artifact: Artifact, expect: int | None, op_id: str | None, ttl: timedelta | None
) -> ArtifactInfo:
    """Store the next version of an artifact.

    Raises:
        NotFoundError: there is no such artifact.
    """
    content, change = _content(artifact), version_change(expect, op_id, ttl)
    head = await find_head(backend, artifact.artifact_id)
    if head is None:
        raise NotFoundError(f"there is no artifact {shown(artifact.artifact_id)}: create it")
    incarnation = artifact.incarnation if artifact.incarnation and expect is not None else head.incarnation
    return await add(backend, artifact, content, change._replace(incarnation=incarnation), head)


async def put(
    backend: Backend, artifact: Artifact, expect: int | None, op_id: str | None, ttl: timedelta | None
) -> ArtifactInfo:
    """Store the next version of an artifact, or version 1 of a new one."""
    change, content = version_change(expect, op_id, ttl), _content(artifact)
    race = Race(f"artifact {shown(artifact.artifact_id)}")
    while True:
        # A stream is read once, so its version has no second attempt: it follows any version, of any life.
        again = expect is None and (content.held is not None or isinstance(artifact.content, os.PathLike))
        head = await find_head(backend, artifact.artifact_id)
        if again:
            change = change._replace(expect=None if head else 0, incarnation=head.incarnation if head else None)
        elif expect:
            change = change._replace(incarnation=artifact.incarnation or (head.incarnation if head else None))
        try:
            return await add(backend, artifact, content, change, head)
        except (ConflictError, NotFoundError):
            if not again:
                raise
            race.lose()
            content = _content(artifact)


def _content(artifact: Artifact) -> Content:
    if not isinstance(artifact, Artifact):
        raise InvalidError(f"this takes a stowfast.Artifact, not {type(artifact).__name__}")
    return source_of(artifact.content, f"the content of artifact {shown(artifact.artifact_id)}")


def version_change(expect: int | None, op_id: str | None, ttl: timedelta | None) -> Change:
    """Return the conditions and the time to live of a version, checked."""
    check_integers(expect=expect)
    return Change(expect=expect, op_id=op_id, ttl=None if ttl is None else from_duration(ttl, "ttl"))
