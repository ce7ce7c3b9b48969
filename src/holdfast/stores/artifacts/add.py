"""Adding a version: what describes it, what it is made of, and what a conflict means."""

from __future__ import annotations

import mimetypes
import os
from typing import TYPE_CHECKING, Final

from holdfast.errors import ConflictError, InvalidError, NotFoundError
from holdfast.stores.artifacts.records import DESCRIBES, Version, info_of, newest_of, stream_of
from holdfast.stores.artifacts.schemas import check_schema
from holdfast.stores.artifacts.upload import store_content
from holdfast.stores.codec import encode, encode_head, labels_of

if TYPE_CHECKING:
    from holdfast.abc import Backend, Change, Head
    from holdfast.records import ArtifactInfo
    from holdfast.stores.artifacts.content import Content

__all__ = ["add"]

_TEXTS: Final = ("name", "description", "mime_type")
_MIME_TYPES: Final = {
    "bytes": "application/octet-stream",
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "rows": "application/x-ndjson",
}


async def add(
    backend: Backend, artifact: ArtifactInfo, content: Content, change: Change, head: Head | None = None
) -> ArtifactInfo:
    """Store content as the next version of an artifact.

    Args:
        change: its conditions.
        head: what was there when the call began. None: nothing.
    """
    artifact_id, stream = artifact.artifact_id, stream_of(artifact.artifact_id)
    record = {key: getattr(artifact, key) for key in DESCRIBES}
    labels_of(_TEXTS, record)  # refuses what is no text
    for key in ("context_id", "task_id"):
        if record[key] is None and head is not None:
            record[key] = head.labels.get(key)
    labels = labels_of(("context_id", "task_id"), record)
    if not isinstance(artifact.metadata, dict):
        raise InvalidError(f"metadata must be a dict, not {type(artifact.metadata).__name__}")
    if record["schema"] is None and head is not None and head.note:
        record["schema"] = newest_of(head).schema
    check_schema(record["schema"], content, f"artifact {artifact_id!r}")
    what = f"what describes artifact {artifact_id!r}, its metadata included,"
    encode_head(record, what)  # refused before anything is uploaded
    told, body, blobs = await store_content(backend, stream, content, follows=head is not None)
    record["mime_type"] = record["mime_type"] or _guessed(artifact, told["encoding"])
    described = {key: value for key, value in told.items() if key not in {"blob", "checksums"}}
    change = change._replace(
        entries=(encode(record | told, "an artifact") + b"\n" + body,),
        labels=labels,
        note=encode_head(record | described, what),
        blobs=blobs,
    )
    try:
        receipt = await backend.commit(stream, change)
    except ConflictError as error:
        raise _conflict(artifact_id, change, error) from error
    if receipt.repeated:
        # What is there is what the first call stored, whatever this one was given.
        now, entries = await backend.read(stream, start=receipt.first, stop=receipt.next)
        if now is not None and now.incarnation == receipt.incarnation and entries:
            return Version.read(artifact_id, receipt, entries[0]).info
    return info_of(artifact_id, record | described, receipt, receipt.first, receipt.committed_at)


def _conflict(artifact_id: str, change: Change, error: ConflictError) -> ConflictError | NotFoundError:
    if change.expect == 0:
        says = f"artifact {artifact_id!r} exists: update it, or choose another id"
    elif change.expect is None:
        if change.incarnation is None:
            return error
        return NotFoundError(f"artifact {artifact_id!r} was deleted meanwhile: create it")
    elif error.current == change.expect:
        says = f"artifact {artifact_id!r} was deleted and created again: get it again"
    else:
        says = f"artifact {artifact_id!r} is at version {error.current}, not at {change.expect}: get it again"
    return ConflictError(says, current=error.current)


def _guessed(artifact: ArtifactInfo, encoding: str) -> str:
    if encoding in {"bytes", "text"}:
        content = getattr(artifact, "content", None)
        path = os.fspath(content) if isinstance(content, os.PathLike) else None
        for name in (artifact.name, path, artifact.artifact_id):
            guessed, packed = mimetypes.guess_type(name) if isinstance(name, str) else (None, None)
            if guessed is not None and packed is None:
                return guessed
    return _MIME_TYPES[encoding]
