"""The commit of a version: its record, its content, and the errors of a conflict."""

from __future__ import annotations

import mimetypes
import os
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import KEEP, MAX_HEAD_BYTES, Window
from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.names import moment_after
from stowfast.records import ArtifactInfo
from stowfast.stores.artifacts.lookup import find_by_op_id, find_newest
from stowfast.stores.artifacts.records import DESCRIBES, Version, blob_record, check_record, info_of, stream_of
from stowfast.stores.artifacts.schema import check_schema
from stowfast.stores.artifacts.writing.dedup import bodies_of, note_of
from stowfast.stores.artifacts.writing.upload import ContentUpload
from stowfast.stores.codec import encode, labels_of
from stowfast.stores.labels import beside_own, metadata_labels

if TYPE_CHECKING:
    from stowfast.abc import Backend, Change, Head, Receipt
    from stowfast.stores.artifacts.writing.content import Content

__all__ = ["add", "described", "guessed_type"]

_TEXTS: Final = ("name", "description", "mime_type")
_MIME_TYPES: Final = {
    "bytes": "application/octet-stream",
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
    "rows": "application/x-ndjson",
}


async def add(
    backend: Backend,
    artifact: ArtifactInfo,
    content: Content,
    change: Change,
    head: Head | None = None,
    *,
    repeated: bool = True,
) -> ArtifactInfo:
    """Store content as the next version of an artifact.

    Args:
        change: its conditions.
        head: the head at the start of the call; None: no artifact.
        repeated: the call may be a repeat under its op_id: look for its result before an upload.
    """
    artifact_id, stream = artifact.artifact_id, stream_of(artifact.artifact_id)
    record, labels = described(artifact, head)
    if record["schema"] is None and head is not None and head.note:
        newest = await find_newest(backend, head)
        # The columns of a dataset say nothing about data, nor a JSON Schema about rows.
        if (newest.kind == "dataset") == (content.encoding == "rows"):
            record["schema"] = newest.schema
    check_record(record, artifact_id)
    check_schema(record["schema"], content, f"artifact {artifact_id!r}")
    change = change._replace(labels=labels)
    done = await _store(backend, artifact, content, change, record, bodies_of(head), repeated=repeated)
    if isinstance(done, ArtifactInfo):
        return done
    receipt, known = done
    if receipt.repeated:
        # The version is that of the first call, whatever content this one has.
        now, entries = await backend.read(stream, Window(start=receipt.first, stop=receipt.next))
        if now is not None and now.incarnation == receipt.incarnation and entries:
            return Version.read(artifact_id, now, entries[0]).info
    expires_at = None if change.ttl is None else moment_after(receipt.committed_at, change.ttl)
    return info_of(artifact_id, known, receipt, receipt.first, receipt.committed_at, expires_at)


def described(artifact: ArtifactInfo, head: Head | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the record and the labels of an artifact: as given, or else from its head.

    Raises:
        InvalidError: they cannot be stored.
    """
    if artifact.left_out:
        raise InvalidError(
            f"artifact {artifact.artifact_id!r} is from a list, without the fields that `left_out` names: "
            "take it from `info` or `get`"
        )
    record = {key: getattr(artifact, key) for key in DESCRIBES}
    labels_of(_TEXTS, record)  # refuses what is no text
    for key in ("context_id", "task_id"):
        if record[key] is None and head is not None:
            record[key] = head.labels.get(key)
    labels = labels_of(("context_id", "task_id"), record)
    if not isinstance(artifact.metadata, dict):
        raise InvalidError(f"metadata must be a dict, not {type(artifact.metadata).__name__}")
    check_record(record, artifact.artifact_id)  # refused before anything is stored
    labels |= beside_own(metadata_labels(artifact.metadata))
    size = sum(len(key.encode()) + len(value.encode()) for key, value in labels.items())
    if size > MAX_HEAD_BYTES:
        raise InvalidError(
            f"artifact {artifact.artifact_id!r}: what lists select by, context_id, task_id and the short values of "
            f"metadata, has {size:,} bytes, the limit is {MAX_HEAD_BYTES:,}: put values into one, a dict"
        )
    return record, labels


async def _store(
    backend: Backend,
    artifact: ArtifactInfo,
    content: Content,
    change: Change,
    record: dict[str, Any],
    bodies: dict[str, str],
    *,
    repeated: bool,
) -> tuple[Receipt, dict[str, Any]] | ArtifactInfo:
    """Store content and commit its version; return the receipt and the record, or the version of an earlier call."""
    artifact_id, stream = artifact.artifact_id, stream_of(artifact.artifact_id)
    while True:
        async with ContentUpload(content) as upload:
            body, blobs = await upload.inline(), tuple[str, ...]()
            if body is None:
                if repeated and change.op_id is not None:
                    earlier = await find_by_op_id(backend, artifact_id, change.op_id)
                    if earlier is not None:
                        return earlier.info
                blobs = (await upload.store(backend, stream, bodies),)
            stored = upload.record | (blob_record(blobs[0], upload.digest) if blobs else {})
        record["mime_type"] = record["mime_type"] or guessed_type(artifact, stored["encoding"])
        known = record | {key: value for key, value in stored.items() if key not in {"blob", "checksums"}}
        linked = bodies.get(stored["sha256"]) in blobs
        remembered = bodies
        if blobs:  # it stands last, as the newest
            remembered = {digest: blob for digest, blob in bodies.items() if digest != stored["sha256"]}
            remembered[stored["sha256"]] = blobs[0]
        change = change._replace(
            entries=(encode(record | stored, "an artifact") + b"\n" + (body or b""),),
            note=note_of(known, remembered),
            blobs=blobs,
            # An announcement of a live build passes; a version stays, unless it has a time to live.
            expires_at=None if change.ttl is None else KEEP,
        )
        try:
            return await backend.commit(stream, change), known
        except ConflictError as error:
            if not blobs or not await _fits(backend, stream, change):
                raise _conflict(artifact_id, change, error) from error
            # The artifact is as expected, but the blob is gone: the version that brought it was pruned meanwhile.
            if not linked or not content.begin_again():
                says = f"the bytes of artifact {artifact_id!r} were removed with an older version: write them again"
                raise ConflictError(says, current=error.current) from error
            bodies = {digest: blob for digest, blob in bodies.items() if blob not in blobs}


async def _fits(backend: Backend, stream: str, change: Change) -> bool:
    """Return True if an artifact meets the conditions of a change."""
    (head,) = await backend.heads([stream])
    if change.incarnation is not None and (head is None or head.incarnation != change.incarnation):
        return False
    return change.expect is None or change.expect == (0 if head is None else head.next)


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


def guessed_type(artifact: ArtifactInfo, encoding: str) -> str:
    """Return the MIME type of an artifact without one: by its name, else by the encoding of its content."""
    if encoding in {"bytes", "text"}:
        content = getattr(artifact, "content", None)
        path = os.fspath(content) if isinstance(content, os.PathLike) else None
        for name in (artifact.name, path, artifact.artifact_id):
            guessed, packed = mimetypes.guess_type(name) if isinstance(name, str) else (None, None)
            if guessed is not None and packed is None:
                return guessed
    return _MIME_TYPES[encoding]
