"""The store of artifacts: a stream of versions each."""

from __future__ import annotations

import io
from contextlib import aclosing, asynccontextmanager
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.abc import Change
from stowfast.errors import DamagedError, InvalidError, NotFoundError, shown
from stowfast.names import check_name
from stowfast.records import Artifact, ArtifactInfo, Page
from stowfast.stores.artifacts.datasets.dataset import open_rows, write_dataset
from stowfast.stores.artifacts.datasets.tables import row_batches, to_arrow, to_pandas, to_parquet
from stowfast.stores.artifacts.links import link, unlink
from stowfast.stores.artifacts.live.build import check_batch, live_stream_of
from stowfast.stores.artifacts.live.follower import follow, newest_info, page_of
from stowfast.stores.artifacts.live.writer import LiveWriter
from stowfast.stores.artifacts.lookup import find_head, find_version, list_versions, must_find_version
from stowfast.stores.artifacts.pruning import prune, set_expiry
from stowfast.stores.artifacts.reading.file import ArtifactFile, runner
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.stores.artifacts.records import KIND, content_of, stream_of
from stowfast.stores.artifacts.writing import whole
from stowfast.stores.artifacts.writing.writer import write_version
from stowfast.stores.codec import check_counts, check_given, check_integers, from_duration, from_time, labels_of
from stowfast.stores.labels import beside_own, check_metadata, wanted_labels
from stowfast.stores.listing import list_query
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from datetime import datetime

    import pandas
    import pyarrow

    from stowfast.abc import Backend
    from stowfast.stores.artifacts.datasets.dataset import DatasetWriter
    from stowfast.stores.artifacts.writing.writer import ArtifactWriter

__all__ = ["Artifacts"]

_FILE_BUFFER_BYTES: Final = 2**17


class Artifacts:
    """The artifacts of a backend: files, data and datasets of any size, in all their versions.

    Content that is bytes, text or a JSON value is returned with its type; content from a path, a file object or an
    async iterator of bytes is returned as bytes. A whole read is checked by SHA-256, a partial read by a checksum for
    each MiB.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def create(
        self, artifact: Artifact, *, op_id: str | None = None, ttl: timedelta | None = None
    ) -> ArtifactInfo:
        """Store a new artifact as version 1. It is visible whole, or not at all.

        Content from a path, a file object or an async iterator is streamed, in constant memory.

        Args:
            op_id: the idempotency key of this call. A repeat after a lost answer stores nothing and returns the
                first result.
            ttl: the artifact is gone so long after this version, by the backend's clock. None: it stays.

        Raises:
            ConflictError: the id is taken. The stored artifact is unchanged.
            InvalidError: the id, the metadata or the content cannot be stored, or does not match its schema; or what
                describes it has over 32 MiB, or what lists select by over 64 KiB. Nothing was stored.
            UnavailableError: it may be stored. Repeat the call with the same op_id.
        """
        return await whole.create(self._backend, artifact, op_id, ttl)

    async def update(
        self,
        artifact: Artifact,
        *,
        expect: int | None = None,
        op_id: str | None = None,
        ttl: timedelta | None = None,
    ) -> ArtifactInfo:
        """Store the artifact as a new version. The older versions stay.

        `context_id`, `task_id` and `schema` keep their values if None. Two writers without `expect` both get their
        version, one after the other. Bytes equal to an earlier version are not stored again, unless the stored ones
        are damaged: so storing the same content again repairs it.

        Args:
            expect: the version before this one.
            op_id: as for `create`.
            ttl: the artifact, with all its versions, is gone so long after this version. None: it stays.

        Raises:
            NotFoundError: the artifact does not exist. Create it.
            ConflictError: it is at another version, its `current`, or was deleted and created again.
            UnavailableError: it may be stored. Repeat the call with the same op_id.
        """
        return await whole.update(self._backend, artifact, expect, op_id, ttl)

    async def put(
        self,
        artifact: Artifact,
        *,
        expect: int | None = None,
        op_id: str | None = None,
        ttl: timedelta | None = None,
    ) -> ArtifactInfo:
        """Store the artifact: as version 1 if there is none, else as a new version. `create` and `update` in one call.

        Of racing puts without `expect` each gets a version of its own, also beside a create or a delete. A file object
        or an async iterator is read once: its version follows whatever version is there at its end, and after a racing
        create or delete its `context_id`, `task_id` and `schema` are those that the start of the call found.

        Args:
            expect: the version before this one; 0: the artifact must not exist.
            op_id: as for `create`.
            ttl: as for `update`.

        Raises:
            ConflictError: it is at another version, its `current`, or was deleted and created again.
            InvalidError: as for `create`.
            UnavailableError: it may be stored. Repeat the call with the same op_id.
        """
        return await whole.put(self._backend, artifact, expect, op_id, ttl)

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
        metadata: Mapping[str, Any] | None = None,
        expect: int | None = None,
        ttl: timedelta | None = None,
        op_id: str | None = None,
    ) -> AsyncIterator[ArtifactWriter]:
        """Write a version piece by piece, in constant memory: `async with ... as w: await w.write(piece)`.

        It becomes the next version of the artifact, or its first, when the block ends without an error; `w.info`
        is then the version. After an exception or a crash nothing is visible, and a sweep removes the leftovers.

        Args:
            expect: the version before this one; 0 for a new artifact. None: any.
            ttl: as for `update`, counted from the end of the block.

        Raises:
            ConflictError: at the end: the artifact is not at the expected version. Nothing was stored.
            UnavailableError: at the end: it may be stored. Write it again with the same op_id.
        """
        change = whole.version_change(expect, op_id, ttl)
        described = Artifact(
            artifact_id=artifact_id, context_id=context_id, task_id=task_id, name=name, description=description,
            mime_type=mime_type, metadata={} if metadata is None else check_metadata(metadata),
        )  # fmt: skip
        async with write_version(self._backend, described, change) as writer:
            yield writer

    @asynccontextmanager
    async def open_live(
        self,
        artifact_id: str,
        *,
        context_id: str | None = None,
        task_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expect: int | None = None,
        ttl: timedelta | None = None,
        op_id: str | None = None,
        flush_bytes: int = 2**16,
        flush_seconds: float = 0.2,
    ) -> AsyncIterator[LiveWriter]:
        """Write a version while others `follow`: `async with ... as w: await w.write(piece)`.

        The pieces are stored in batches, each once and in order. When the block ends without an error they become
        the next version of the artifact, visible to `get` and `open_reader` from then on; `w.info` is the version.
        Until then `info` and lists show an artifact without an earlier version as "building", with its current
        size. After an exception it is "failed": there is no version, followers get the written pieces and then an
        error, and after an hour a sweep removes the rest. A crash is noticed after 30 seconds without a heartbeat; a
        heartbeat over a minute in the future, from a clock that was ahead, counts as none.

        One writer at a time: the next one may begin after this one has finished, failed or crashed, or with the
            same `op_id` at once.

        Args:
            expect: the version before this one; 0 for a new artifact. None: any.
            ttl: as for `update`, counted from the end of the block.
            op_id: the idempotency key of this call: a repeat after the version exists becomes the same version,
                with any pieces.
            flush_bytes: followers see pieces after this many bytes, 1 to 8 MiB.
            flush_seconds: or after the oldest piece has waited this long.

        Raises:
            ConflictError: another writer is active. In the block: the artifact was deleted meanwhile, or taken
                over by another writer after 30 seconds without a heartbeat. At the end: it is not at the expected
                version.
            UnavailableError: the backend gave no answer for ten seconds. At the end: it may be a version. Write it
                again with the same op_id.
        """
        change = whole.version_change(expect, op_id, ttl)
        check_batch(flush_bytes, flush_seconds)
        if op_id is not None:
            check_name(op_id, "an op_id")
        described = Artifact(
            artifact_id=artifact_id, context_id=context_id, task_id=task_id, name=name, description=description,
            mime_type=mime_type, metadata={} if metadata is None else check_metadata(metadata),
        )  # fmt: skip
        async with LiveWriter(self._backend, described, change, (flush_bytes, flush_seconds)) as writer:
            yield writer

    async def follow(self, artifact_id: str, *, wait: timedelta = timedelta(0)) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an artifact from its beginning, and continue while it is written, until it is complete.

        Every byte once and in order, from any time of the start: a running build is followed, and a late follower
        continues in the finished version. Without a running build, these are the bytes of the newest version.

        Args:
            wait: wait so long for an artifact that does not exist yet.

        Raises:
            NotFoundError: the artifact does not exist, also after the wait; or it was never finished: its writer failed
                or crashed, or it was deleted. The yielded bytes are all there is: write it again, or report it. (Not
                UnavailableError: a repeat does not help.)
        """
        async for piece in follow(self._backend, artifact_id, from_duration(wait, "wait") / 1e6):
            yield piece

    @asynccontextmanager
    async def open_dataset(
        self,
        artifact_id: str,
        *,
        columns: dict[str, str] | None = None,
        append: bool = False,
        context_id: str | None = None,
        task_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expect: int | None = None,
        ttl: timedelta | None = None,
        op_id: str | None = None,
    ) -> AsyncIterator[DatasetWriter]:
        """Write a dataset in batches of rows, in constant memory: `async with ... as d: await d.append(rows)`.

        It becomes the next version of the artifact, or its first, when the block ends without an error; `d.info`
        is then the version. After an exception or a crash nothing is visible, and a sweep removes the leftovers.

        Args:
            columns: names and types: "string", "integer", "number", "boolean", "object", "array" or "any"; with a
                "?" at the end for a column that may be null or missing. Every row must match. None: the columns of
                the version before, if any; else a row is any JSON object.
            append: begin with a copy of the rows of the newest version. New columns may be null then. Of two
                concurrent appends one gets a ConflictError: no rows are lost.
            expect: the version before this one; 0 for a new artifact. None: any.
            ttl: as for `update`, counted from the end of the block.
            op_id: the idempotency key of this call. A repeat after a lost answer stores nothing and returns the
                first result.

        Raises:
            InvalidError: the columns are invalid, or do not match the existing rows; or, with `append`, the
                artifact is not a dataset.
            ConflictError: at the end: the artifact is not at the expected version. Nothing was stored.
            UnavailableError: at the end: it may be stored. Write it again with the same op_id.
        """
        change = whole.version_change(expect, op_id, ttl)
        described = Artifact(
            artifact_id=artifact_id, context_id=context_id, task_id=task_id, name=name, description=description,
            mime_type=mime_type, metadata={} if metadata is None else check_metadata(metadata),
        )  # fmt: skip
        async with write_dataset(self._backend, described, columns, change, append=append) as writer:
            yield writer

    async def rows(self, artifact_id: str, *, version: int | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """Stream the rows of a dataset as given, in order, in constant memory.

        Raises:
            NotFoundError: the artifact or the version does not exist.
            InvalidError: it is not a dataset.
            DamagedError: stored bytes do not match their checksums.
        """
        async with aclosing(row_batches(await open_rows(self._backend, artifact_id, version))) as batches:
            async for batch in batches:
                for row in batch:
                    yield row

    async def to_arrow(self, artifact_id: str, *, version: int | None = None) -> pyarrow.Table:
        """Return a dataset as an Arrow table. Needs the extra `arrow`.

        Declared columns of strings, integers (64 bits), numbers (doubles) and booleans have these types. For other
        columns Arrow infers the type from all rows first; values without a common type become JSON text. A missing
        column is null.

        Raises:
            UnsupportedError: pyarrow is not installed.
            NotFoundError: the artifact or the version does not exist.
            InvalidError: it is not a dataset, or a number does not fit the Arrow type of its column exactly.
        """
        return await to_arrow(await open_rows(self._backend, artifact_id, version))

    async def to_pandas(self, artifact_id: str, *, version: int | None = None) -> pandas.DataFrame:
        """Return a dataset as a pandas frame. Needs the extra `pandas`.

        As `to_arrow`. Integers stay integers, also where some are null: such a column is one of objects.

        Raises:
            UnsupportedError: pandas or pyarrow is not installed.
            NotFoundError, InvalidError: as `to_arrow`.
        """
        return await to_pandas(await open_rows(self._backend, artifact_id, version))

    async def to_parquet(
        self, artifact_id: str, path: str | os.PathLike[str], *, version: int | None = None
    ) -> ArtifactInfo:
        """Write a dataset to a Parquet file, in constant memory, and return its version. Needs the extra `arrow`.

        The file appears whole or not at all, and replaces an existing one. Types are those of `to_arrow`.

        Raises:
            UnsupportedError: pyarrow is not installed.
            NotFoundError, InvalidError: as `to_arrow`; or the file cannot be written.
        """
        return await to_parquet(await open_rows(self._backend, artifact_id, version), path)

    async def get(self, artifact_id: str, *, version: int | None = None) -> Artifact | None:
        """Return an artifact with its content, the newest version or a given one; None where there is none.

        Raises:
            DamagedError: the content does not match its SHA-256.
        """
        race = Race(f"artifact {shown(artifact_id)}")
        while True:
            one = await find_version(self._backend, artifact_id, version)
            if one is None:
                return None
            try:
                body = await ArtifactReader(self._backend, stream_of(artifact_id), one).content()
            except NotFoundError as error:
                now = await find_head(self._backend, artifact_id)
                if now is not None and now.incarnation == one.info.incarnation and now.first < one.info.version:
                    raise DamagedError(f"{one.where}: its content is gone") from error
            else:
                kept = {field.name: getattr(one.info, field.name) for field in fields(one.info)}
                return Artifact(**kept, content=content_of(one, body))
            # It was removed between the two reads: a newer one may have taken its place.
            if version is not None:
                return None
            race.lose()

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
        return io.BufferedReader(ArtifactFile(reader, runner(self._backend)), _FILE_BUFFER_BYTES)

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
            raise InvalidError(f"expires={shown(expires)}: give a timedelta, as in timedelta(minutes=10)")
        return await link(
            self._backend, stream_of(artifact_id), await must_find_version(self._backend, artifact_id, version), expires
        )

    async def versions(self, artifact_id: str) -> list[ArtifactInfo]:
        """Return every version without its content, the oldest first; an empty list for an unknown artifact."""
        return await list_versions(self._backend, artifact_id)

    async def list(
        self,
        *,
        context_id: str | None = None,
        task_id: str | None = None,
        prefix: str = "",
        where: Mapping[str, Any] | None = None,
        order: Literal["recent", "id"] = "recent",
        after: str | None = None,
        limit: int = 100,
    ) -> Page[ArtifactInfo]:
        """List the newest versions without their content, the last changed first or by id, a page at a time.

        While artifacts change, a page by recency may miss or repeat one; pages by id (in code points) show every
        artifact that existed throughout. An artifact with damaged data is left out, and `damaged` of the page names it.
        Of a version described by over 64 KiB a line has the small fields, and names the others in `left_out`.

        Args:
            prefix: the start of the ids.
            where: metadata that the newest version must have: text of at most 500 bytes, numbers, booleans or None.
            order: by the last change or by id.
            after: the `next` of the page before.
        """
        wanted = {"context_id": context_id, "task_id": task_id}
        labels = labels_of(tuple(wanted), wanted) | beside_own(wanted_labels(where))
        query = list_query(KIND, prefix, labels, order, after, limit)
        return await page_of(self._backend, await self._backend.streams(query))

    async def prune(self, artifact_id: str, *, keep: int) -> int:
        """Remove all versions but the newest `keep`, and return the number removed. Version numbers stay.

        Content shared with a kept version stays. An unknown artifact is 0.

        Args:
            keep: 1 or more. `delete` removes all.

        Raises:
            ConflictError: the artifact was deleted and created again meanwhile. Repeat the call.
        """
        check_given(keep=keep)
        check_counts(keep=keep)
        if keep < 1:
            raise InvalidError(f"keep={keep}: the newest version stays; `delete` removes them all")
        return await prune(self._backend, artifact_id, keep)

    async def set_expiry(self, artifact_id: str, expires_at: datetime | None) -> None:
        """Let an artifact end at a moment, with all its versions, or with None never. It holds until the next version.

        A past moment ends it at once. A URL that was given before may work until its own end or the next sweep.

        Raises:
            NotFoundError: there is no such artifact, or it has no version yet.
        """
        moment = None if expires_at is None else from_time(expires_at, "expires_at")
        await set_expiry(self._backend, artifact_id, moment)

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
