"""The store of artifacts: a stream of versions each."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Query, Window
from stowfast.blocking import run_in_place
from stowfast.errors import DamagedError, InvalidError, NotFoundError
from stowfast.records import Artifact, ArtifactInfo, Page
from stowfast.stores.artifacts.datasets.dataset import Datasets
from stowfast.stores.artifacts.links import link, unlink
from stowfast.stores.artifacts.live.build import live_stream_of
from stowfast.stores.artifacts.live.follower import listed, newest_info
from stowfast.stores.artifacts.lookup import find_head, find_version, must_find_version
from stowfast.stores.artifacts.pruning import prune
from stowfast.stores.artifacts.reading.file import ArtifactFile
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.stores.artifacts.records import KIND, Version, content_of, stream_of
from stowfast.stores.artifacts.writing.commit import add
from stowfast.stores.artifacts.writing.content import Content, source_of
from stowfast.stores.artifacts.writing.writer import ArtifactWriter
from stowfast.stores.codec import check_counts, check_integers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from stowfast.abc import Backend

__all__ = ["Artifacts"]

_PAGE_BYTES: Final = 2**20
_FILE_BUFFER: Final = 2**17


class Artifacts(Datasets):
    """The artifacts of a backend: files, data and datasets of any size, in all their versions.

    Content that is bytes, text or a JSON value is returned with its type; content from a path, a file object or an
    async iterator of bytes is returned as bytes. A whole read is checked by SHA-256, a partial read by a checksum for
    each MiB.
    """

    async def create(self, artifact: Artifact, *, op_id: str | None = None) -> ArtifactInfo:
        """Store a new artifact as version 1. It is visible whole, or not at all.

        Content from a path, a file object or an async iterator is streamed, in constant memory.

        Args:
            op_id: the idempotency key of this call. A repeat after a lost answer stores nothing and returns the
                first result.

        Raises:
            ConflictError: the id is taken. The stored artifact is unchanged.
            InvalidError: the id, the metadata or the content cannot be stored, or does not match its schema.
                Nothing was stored.
            UnavailableError: it may be stored. Repeat the call with the same op_id.
        """
        _check_artifact(artifact)
        return await add(
            self._backend, artifact, source_of(artifact.content, _what(artifact)), Change(expect=0, op_id=op_id)
        )

    async def update(self, artifact: Artifact, *, expect: int | None = None, op_id: str | None = None) -> ArtifactInfo:
        """Store the artifact as a new version. The older versions stay.

        `context_id`, `task_id` and `schema` keep their values if None. Two writers without `expect` both get their
        version, one after the other. Bytes equal to an earlier version are not stored again, unless the stored
        ones are
        damaged: so storing the same content again repairs it.

        Args:
            expect: the version before this one.

        Raises:
            NotFoundError: the artifact does not exist. Create it.
            ConflictError: it is at another version, its `current`, or was deleted and created again.
            UnavailableError: it may be stored. Repeat the call with the same op_id.
        """
        _check_artifact(artifact)
        check_integers(expect=expect)
        head = await find_head(self._backend, artifact.artifact_id)
        if head is None:
            raise NotFoundError(f"there is no artifact {artifact.artifact_id!r}: create it")
        incarnation = artifact.incarnation if artifact.incarnation and expect is not None else head.incarnation
        change = Change(expect=expect, op_id=op_id, incarnation=incarnation)
        return await add(self._backend, artifact, source_of(artifact.content, _what(artifact)), change, head)

    @asynccontextmanager
    async def open_writer(
        self,
        artifact_id: str,
        *,
        context_id: str | None = None,
        task_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        expect: int | None = None,
        op_id: str | None = None,
    ) -> AsyncIterator[ArtifactWriter]:
        """Write a version piece by piece, in constant memory: `async with ... as w: await w.write(piece)`.

        It becomes the next version of the artifact, or its first, when the block ends without an error; `w.info`
        is then the version. After an exception or a crash nothing is visible, and a sweep removes the leftovers.

        Args:
            expect: the version before this one; 0 for a new artifact. None: any.

        Raises:
            ConflictError: at the end: the artifact is not at the expected version. Nothing was stored.
            UnavailableError: at the end: it may be stored. Write it again with the same op_id.
        """
        check_integers(expect=expect)
        described = Artifact(
            artifact_id=artifact_id, context_id=context_id, task_id=task_id, name=name, description=description,
            mime_type=mime_type, metadata={} if metadata is None else metadata,
        )  # fmt: skip
        head = await find_head(self._backend, artifact_id)
        change = Change(expect=expect, op_id=op_id, incarnation=head.incarnation if head and expect else None)

        def store(content: Content) -> Coroutine[Any, Any, ArtifactInfo]:
            return add(self._backend, described, content, change, head)

        async with ArtifactWriter(store) as writer:
            yield writer

    async def get(self, artifact_id: str, *, version: int | None = None) -> Artifact | None:
        """Return an artifact with its content, the newest version or a given one; None where there is none.

        Raises:
            DamagedError: the content does not match its SHA-256.
        """
        one = await find_version(self._backend, artifact_id, version)
        if one is None:
            return None
        try:
            body = await ArtifactReader(self._backend, stream_of(artifact_id), one).content()
        except NotFoundError as error:
            now = await find_head(self._backend, artifact_id)
            if now is None or now.incarnation != one.info.incarnation or now.first >= one.info.version:
                return None  # removed between the two reads
            raise DamagedError(f"{one.where}: its content is gone") from error
        kept = {field.name: getattr(one.info, field.name) for field in fields(one.info)}
        return Artifact(**kept, content=content_of(one, body))

    async def info(self, artifact_id: str, *, version: int | None = None) -> ArtifactInfo | None:
        """Return an artifact without its content; None for an unknown one.

        For an artifact without a version: its live build, with `state` and `size`.
        """
        if version is None:
            return await newest_info(self._backend, artifact_id)
        found = await find_version(self._backend, artifact_id, version)
        return found and found.info

    @asynccontextmanager
    async def open_reader(
        self, artifact_id: str, *, version: int | None = None, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[ArtifactReader]:
        """Read the bytes `start <= offset < stop` of a version, in constant memory; both may lie beyond the end.

        `async for piece in r` streams them; `await r.read(n)` and `r.seek(offset)` jump about.

        Raises:
            NotFoundError: there is no such artifact, or no such version.
            DamagedError: while reading: bytes do not match their checksum.
        """
        async with await self._open(artifact_id, version, start, stop) as reader:
            yield reader

    async def open_file(self, artifact_id: str, *, version: int | None = None) -> io.BufferedReader:
        """Open a version as a seekable file object, for zipfile, PIL, pyarrow and the like.

        Its methods block: use it in a thread (`asyncio.to_thread`). Close it at the end.

        Raises:
            NotFoundError: the artifact or the version does not exist.
        """
        reader = await self._open(artifact_id, version, 0, None)
        return io.BufferedReader(ArtifactFile(reader, _runner(self._backend)), _FILE_BUFFER)

    async def url(
        self, artifact_id: str, *, version: int | None = None, expires: timedelta = timedelta(hours=1)
    ) -> str:
        """Return a URL from which anyone can GET the bytes of a version, without credentials, until it expires.

        Object storage only. The URL ends earlier with the signing credentials, and with the deletion of the
        artifact. Content of up to 32 KiB is copied into an object, which a sweep removes after the end.

        Args:
            expires: from a second to seven days.

        Raises:
            UnsupportedError: this backend has no links, or no credentials to sign them. Read the content instead.
            NotFoundError: the artifact or the version does not exist.
            InvalidError: `expires` is out of its bounds.
        """
        if not isinstance(expires, timedelta):
            raise InvalidError(f"expires={expires!r}: give a timedelta, as in timedelta(minutes=10)")
        return await link(
            self._backend, stream_of(artifact_id), await must_find_version(self._backend, artifact_id, version), expires
        )

    async def versions(self, artifact_id: str) -> list[ArtifactInfo]:
        """Return every version without its content, the oldest first; an empty list for an unknown artifact."""
        stream = stream_of(artifact_id)
        found: list[ArtifactInfo] = []
        incarnation, position = None, 0
        while True:
            head, entries = await self._backend.read(stream, Window(start=position, max_bytes=_PAGE_BYTES))
            if head is None or not entries or head.incarnation != (incarnation or head.incarnation):
                return found
            incarnation = head.incarnation
            found += [Version.read(artifact_id, head, entry).info for entry in entries]
            position = entries[-1].position + 1
            if position >= head.next:
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
            Query(f"{KIND}/", where=where, order="recent", after=after, limit=limit, heads=True)
        )
        return Page(await listed(self._backend, [one.head for one in found if one.head is not None]), following)

    async def prune(self, artifact_id: str, *, keep: int) -> int:
        """Remove all versions but the newest `keep`, and return the number removed. Version numbers stay.

        Content shared with a kept version stays. An unknown artifact is 0.

        Args:
            keep: 1 or more. `delete` removes all.

        Raises:
            ConflictError: the artifact was deleted and created again meanwhile. Repeat the call.
        """
        check_counts(keep=keep)
        if keep < 1:
            raise InvalidError(f"keep={keep}: the newest version stays; `delete` removes them all")
        return await prune(self._backend, artifact_id, keep)

    async def delete(self, artifact_id: str) -> None:
        """Remove an artifact with all its versions for good. Deleting an unknown artifact does nothing.

        A live writer gets a ConflictError, and followers a NotFoundError.
        """
        await self._backend.commit(stream_of(artifact_id), Change(delete=True))
        await unlink(self._backend, artifact_id)
        await self._backend.commit(live_stream_of(artifact_id), Change(delete=True))

    async def _open(self, artifact_id: str, version: int | None, start: int, stop: int | None) -> ArtifactReader:
        check_integers(start=start, stop=stop)
        return ArtifactReader(
            self._backend,
            stream_of(artifact_id),
            await must_find_version(self._backend, artifact_id, version),
            start,
            stop,
        )


def _check_artifact(artifact: Artifact) -> None:
    if not isinstance(artifact, Artifact):
        raise InvalidError(f"this takes a stowfast.Artifact, not {type(artifact).__name__}")


def _what(artifact: Artifact) -> str:
    return f"the content of artifact {artifact.artifact_id!r}"


def _runner(backend: Backend) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    if backend.in_place:
        return run_in_place
    loop = asyncio.get_running_loop()

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the public one raises where there is none
            coroutine.close()
            raise InvalidError("this file blocks: use it in a thread (asyncio.to_thread), not on the event loop")
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    return run
