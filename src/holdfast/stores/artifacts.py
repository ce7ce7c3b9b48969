"""Artifacts: keeps the files, texts and data that agents make, every version of them. A stream of versions each."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from holdfast.abc import Change, Entry, Head
from holdfast.errors import ConflictError, DamagedError, InvalidError, NotFoundError
from holdfast.records import Artifact, ArtifactInfo, Page
from holdfast.stores.codec import (
    check_counts,
    check_integers,
    decode,
    encode,
    encode_head,
    labels_of,
    stream_name,
    to_time,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast.abc import Backend, Receipt

__all__ = ["INLINE_BYTES", "Artifacts"]

INLINE_BYTES: Final = 32 * 2**10
"""The largest content that is kept in the version itself; anything larger is a blob beside it."""

_KIND: Final = "artifacts"
_CHUNK: Final = 2**20
_PAGE_BYTES: Final = 2**20
_GIVEN: Final = ("context_id", "task_id", "name", "description", "mime_type", "metadata")
_TEXTS: Final = ("name", "description", "mime_type")
_MIME_TYPES: Final = {
    "bytes": "application/octet-stream",
    "text": "text/plain; charset=utf-8",
    "json": "application/json",
}


class Artifacts:
    """The artifacts of a place. Content is bytes, text or JSON, and comes back as what it was, checked by SHA-256."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create(self, artifact: Artifact, *, op_id: str | None = None) -> ArtifactInfo:
        """Store a new artifact as version 1. It is visible whole, or not at all.

        Args:
            op_id: names this call: a repeat after a lost answer stores nothing and returns what the first returned.

        Raises:
            ConflictError: the id is taken. What is there stays as it is.
            InvalidError: the id, the metadata or the content cannot be kept. Nothing was stored.
            UnavailableError: it may have been stored. Repeat the call with the same op_id.
        """
        stream = _stream(artifact)
        try:
            return await self._add(stream, artifact, Change(expect=0, op_id=op_id))
        except ConflictError as error:
            raise ConflictError(
                f"artifact {artifact.artifact_id!r} exists: update it, or choose another id", current=error.current
            ) from error

    async def update(self, artifact: Artifact, *, expect: int | None = None, op_id: str | None = None) -> ArtifactInfo:
        """Store the artifact, as given, as a new version. The older versions stay.

        `context_id` and `task_id` stay what they were where they are None. Two writers without `expect` both get
        their version, one after the other.

        Args:
            expect: the version that this update follows.

        Raises:
            NotFoundError: there is no such artifact. Create it.
            ConflictError: it is at another version, its `current`, or was deleted and created again.
            UnavailableError: it may have been stored. Repeat the call with the same op_id.
        """
        stream = _stream(artifact)
        check_integers(expect=expect)
        head = (await self._backend.heads([stream]))[0]
        if head is None:
            raise NotFoundError(f"there is no artifact {artifact.artifact_id!r}: create it")
        incarnation = artifact.incarnation if artifact.incarnation and expect is not None else head.incarnation
        change = Change(expect=expect, op_id=op_id, incarnation=incarnation)
        try:
            return await self._add(stream, artifact, change, head)
        except ConflictError as error:
            if expect is None:
                raise NotFoundError(f"artifact {artifact.artifact_id!r} was deleted meanwhile: create it") from error
            if error.current == expect:
                raise ConflictError(
                    f"artifact {artifact.artifact_id!r} was deleted and created again: get it again",
                    current=error.current,
                ) from error
            raise ConflictError(
                f"artifact {artifact.artifact_id!r} is at version {error.current}, not at {expect}: get it again",
                current=error.current,
            ) from error

    async def get(self, artifact_id: str, *, version: int | None = None) -> Artifact | None:
        """Return an artifact with its content, the newest version or a given one; None where there is none.

        Raises:
            DamagedError: the content does not match its SHA-256.
        """
        stream = stream_name(_KIND, "artifact_id", artifact_id)
        check_integers(version=version)
        if version is None:
            head, entries = await self._backend.read(stream, limit=1, newest=True)
        elif version < 1:
            raise InvalidError(f"version={version}: versions begin at 1")
        else:
            head, entries = await self._backend.read(stream, start=version - 1, stop=version)
        if head is None or not entries:
            return None
        where = f"artifact {artifact_id!r}, version {entries[0].position + 1}"
        record, body = _split(entries[0], where)
        info = _info(artifact_id, record, head, entries[0].position, entries[0].created_at)
        if record.get("blob") is not None:
            try:
                body = b"".join([chunk async for chunk in self._backend.read_blob(stream, record["blob"])])
            except NotFoundError as error:
                (now,) = await self._backend.heads([stream])
                if now is None or now.incarnation != head.incarnation:
                    return None  # deleted between the two reads
                raise DamagedError(f"{where}: its content is gone") from error
        if len(body) != info.size or hashlib.sha256(body).hexdigest() != info.sha256:
            raise DamagedError(f"{where}: the content does not match its SHA-256")
        kept = {field.name: getattr(info, field.name) for field in fields(info)}
        return Artifact(**kept, content=_content(record.get("encoding"), body, where))

    async def versions(self, artifact_id: str) -> list[ArtifactInfo]:
        """Return every version without its content, the oldest first; an empty list for an unknown artifact."""
        stream = stream_name(_KIND, "artifact_id", artifact_id)
        found: list[ArtifactInfo] = []
        incarnation = None
        while True:
            head, entries = await self._backend.read(stream, start=len(found), max_bytes=_PAGE_BYTES)
            if head is None or not entries or head.incarnation != (incarnation or head.incarnation):
                return found
            incarnation = head.incarnation
            for entry in entries:
                record, _ = _split(entry, f"artifact {artifact_id!r}, version {entry.position + 1}")
                found.append(_info(artifact_id, record, head, entry.position, entry.created_at))
            if len(found) >= head.next:
                return found

    async def list(
        self,
        *,
        context_id: str | None = None,
        task_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[ArtifactInfo]:
        """List the newest versions without their content, the last changed first, a page at a time.

        Args:
            after: the `next` of the page before.
        """
        check_counts(limit=limit)
        wanted = {"context_id": context_id, "task_id": task_id}
        where = {key: value for key, value in wanted.items() if value is not None}
        found, following = await self._backend.streams(
            f"{_KIND}/", where=where, order="recent", after=after, limit=limit
        )
        heads = await self._backend.heads([one.name for one in found]) if found else []
        # An artifact that was updated while this list was made may no longer be what was asked for.
        still = [head for head in heads if head is not None and where.items() <= head.labels.items()]
        return Page([_newest(head) for head in still], following)

    async def delete(self, artifact_id: str) -> None:
        """Remove an artifact with all its versions. Nothing of it can be read again; an unknown one is fine."""
        await self._backend.commit(stream_name(_KIND, "artifact_id", artifact_id), Change(delete=True))

    async def _add(self, stream: str, artifact: Artifact, change: Change, head: Head | None = None) -> ArtifactInfo:
        encoding, body = _body(artifact)
        record = {key: getattr(artifact, key) for key in _GIVEN}
        labels_of(_TEXTS, record)  # refuses what is no text
        for key in ("context_id", "task_id"):
            if record[key] is None and head is not None:
                record[key] = head.labels.get(key)
        labels = labels_of(("context_id", "task_id"), record)
        if not isinstance(artifact.metadata, dict):
            raise InvalidError(f"metadata must be a dict, not {type(artifact.metadata).__name__}")
        record["mime_type"] = record["mime_type"] or _MIME_TYPES[encoding]
        record |= {"encoding": encoding, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        note = encode_head(record, f"what describes artifact {artifact.artifact_id!r}, its metadata included,")
        blobs: tuple[str, ...] = ()
        if len(body) > INLINE_BYTES:
            blobs = (await self._backend.write_blob(stream, _chunks(body)),)
            record["blob"] = blobs[0]
            body = b""
        change = change._replace(
            entries=(encode(record, "an artifact") + b"\n" + body,),
            labels=labels,
            note=note,
            blobs=blobs,
        )
        receipt = await self._backend.commit(stream, change)
        if receipt.repeated:
            # What is there is what the first call stored, whatever this one was given.
            head, entries = await self._backend.read(stream, start=receipt.first, stop=receipt.next)
            if head is not None and head.incarnation == receipt.incarnation and entries:
                record, _ = _split(entries[0], f"artifact {artifact.artifact_id!r}, version {receipt.first + 1}")
        return _info(artifact.artifact_id, record, receipt, receipt.first, receipt.committed_at)


def _stream(artifact: Artifact) -> str:
    if not isinstance(artifact, Artifact):
        raise InvalidError(f"this takes a holdfast.Artifact, not {type(artifact).__name__}")
    return stream_name(_KIND, "artifact_id", artifact.artifact_id)


def _body(artifact: Artifact) -> tuple[str, bytes]:
    content = artifact.content
    if isinstance(content, bytes | bytearray | memoryview):
        return "bytes", bytes(content)
    what = f"the content of artifact {artifact.artifact_id!r}"
    if isinstance(content, str):
        try:
            return "text", content.encode()
        except UnicodeEncodeError:
            raise InvalidError(f"{what} has a lone surrogate: it is not Unicode text") from None
    return "json", encode(content, what)


def _content(encoding: str | None, body: bytes, where: str) -> Any:
    if encoding == "bytes":
        return body
    if encoding == "text":
        return body.decode()
    if encoding == "json":
        return decode(body, where)
    raise DamagedError(f"{where}: unknown encoding {encoding!r}")


def _split(entry: Entry, where: str) -> tuple[dict[str, Any], bytes]:
    # One line of JSON, then the content as it is: JSON never has a line break of its own.
    line, _, body = entry.data.partition(b"\n")
    record = decode(line, where)
    if not isinstance(record, dict) or not {"size", "sha256", "encoding"} <= record.keys():
        raise DamagedError(f"{where}: this is not an artifact")
    return record, body


def _newest(head: Head) -> ArtifactInfo:
    artifact_id = head.name.removeprefix(f"{_KIND}/")
    return _info(artifact_id, decode(head.note, f"artifact {artifact_id!r}"), head, head.next - 1, head.updated_at)


def _info(artifact_id: str, record: dict[str, Any], of: Head | Receipt, position: int, created_at: int) -> ArtifactInfo:
    given: dict[str, Any] = {key: record.get(key) for key in (*_GIVEN, "size", "sha256")}
    return ArtifactInfo(
        artifact_id=artifact_id,
        **given,
        version=position + 1,
        created_at=to_time(created_at),
        incarnation=of.incarnation,
    )


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _CHUNK):
        yield bytes(view[start : start + _CHUNK])
