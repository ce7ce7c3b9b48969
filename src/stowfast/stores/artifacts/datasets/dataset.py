"""Datasets: rows, JSON objects each, appended in batches, read as a stream or as a table. Stored as lines of JSON."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from stowfast.abc import Change
from stowfast.errors import InvalidError
from stowfast.records import Artifact
from stowfast.stores.artifacts.datasets.columns import Columns
from stowfast.stores.artifacts.datasets.tables import row_batches, to_arrow, to_pandas, to_parquet
from stowfast.stores.artifacts.live.builds import LiveArtifacts
from stowfast.stores.artifacts.lookup import find_head, must_find_version
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.stores.artifacts.records import newest_of, stream_of
from stowfast.stores.artifacts.writing.commit import add
from stowfast.stores.artifacts.writing.writer import ArtifactWriter
from stowfast.stores.codec import check_integers, encode_lines

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
    from types import TracebackType

    import pandas
    import pyarrow

    from stowfast.abc import Head
    from stowfast.records import ArtifactInfo
    from stowfast.stores.artifacts.writing.content import Content

__all__ = ["DatasetWriter", "Datasets"]

_ENCODED_TOGETHER: Final = 10_000


class DatasetWriter:
    """Takes rows in batches. The dataset can be seen once the writer was closed, and after an exception never."""

    def __init__(self, writer: ArtifactWriter, columns: Columns | None) -> None:
        self.rows = 0
        """Rows taken so far, those of the version before included where rows are appended to it."""
        self._writer = writer
        self._writer.content.rows = 0
        self._columns = columns

    @property
    def info(self) -> ArtifactInfo | None:
        """The stored version, after the block ended."""
        return self._writer.info

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writer.__aexit__(kind, error, trace)

    async def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows, all or none. A cancelled call appended up to 10,000 rows, or the first ten thousands.

        Raises:
            InvalidError: a row is not a JSON object, or does not match the columns; the error names the row of the
                dataset, counted from 0, and the column.
        """
        taken = _listed(rows)
        for number, row in enumerate(taken, self.rows):
            if type(row) is not dict:
                raise InvalidError(f"row {number:,} is a JSON object, a dict, not {type(row).__name__}")
        if self._columns is not None:
            self._columns.check(taken, self.rows)
        batches = [taken[start : start + _ENCODED_TOGETHER] for start in range(0, len(taken), _ENCODED_TOGETHER)]
        starts = range(self.rows, self.rows + len(taken), _ENCODED_TOGETHER)
        # All are encoded before any is written: a row that is refused takes those before it along.
        lines = [encode_lines(batch, start, "row") for batch, start in zip(batches, starts, strict=True)]
        for batch, piece in zip(batches, lines, strict=True):
            self._count(len(batch))
            await self._writer.write(piece)

    async def copy(self, reader: ArtifactReader) -> None:
        """Append rows of another version, already checked."""
        self._count(reader.info.rows or 0)
        async for piece in reader:
            await self._writer.write(piece)

    def _count(self, rows: int) -> None:
        self.rows += rows
        self._writer.content.rows = self.rows

    async def close(self) -> ArtifactInfo:
        """Store the appended rows, and return the version. A second close does nothing."""
        return await self._writer.close()

    async def abort(self) -> None:
        """Store nothing. After a close the version stays."""
        await self._writer.abort()


class Datasets(LiveArtifacts):
    """The operations on rows."""

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
        metadata: dict[str, Any] | None = None,
        expect: int | None = None,
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
            op_id: the idempotency key of this call. A repeat after a lost answer stores nothing and returns the
                first result.

        Raises:
            InvalidError: the columns are invalid, or do not match the existing rows; or, with `append`, the
                artifact is not a dataset.
            ConflictError: at the end: the artifact is not at the expected version. Nothing was stored.
            UnavailableError: at the end: it may be stored. Write it again with the same op_id.
        """
        check_integers(expect=expect)
        head = await find_head(self._backend, artifact_id)
        kept = _columns_of(head)
        held_to = kept if columns is None else Columns(columns)
        there = None
        if append and head is not None:
            expect = head.next if expect is None else expect
            if head.length:
                there = await self._dataset(artifact_id, head.next)
                if columns is not None and not Columns(columns).grown_from(kept):
                    has = "no columns" if kept is None else f"the columns {kept.declared}"
                    raise InvalidError(f"{artifact_id!r} has {has}: only new ones with a ? can be added to columns")
        described = Artifact(
            artifact_id=artifact_id, context_id=context_id, task_id=task_id, name=name, description=description,
            mime_type=mime_type, metadata={} if metadata is None else metadata,
            schema=None if held_to is None else {"columns": held_to.declared},
        )  # fmt: skip
        change = Change(expect=expect, op_id=op_id, incarnation=head.incarnation if head and expect else None)

        def store(content: Content) -> Coroutine[Any, Any, ArtifactInfo]:
            return add(self._backend, described, content, change, head)

        async with DatasetWriter(ArtifactWriter(store, "rows"), held_to) as writer:
            if there is not None:
                await writer.copy(there)
            yield writer

    async def rows(self, artifact_id: str, *, version: int | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """Stream the rows of a dataset as given, in order, in constant memory.

        Raises:
            NotFoundError: the artifact or the version does not exist.
            InvalidError: it is not a dataset.
            DamagedError: stored bytes do not match their checksums.
        """
        async with aclosing(row_batches(await self._dataset(artifact_id, version))) as batches:
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
        return await to_arrow(await self._dataset(artifact_id, version))

    async def to_pandas(self, artifact_id: str, *, version: int | None = None) -> pandas.DataFrame:
        """Return a dataset as a pandas frame. Needs the extra `pandas`.

        As `to_arrow`. Integers stay integers, also where some are null: such a column is one of objects.

        Raises:
            UnsupportedError: pandas or pyarrow is not installed.
            NotFoundError, InvalidError: as `to_arrow`.
        """
        return await to_pandas(await self._dataset(artifact_id, version))

    async def to_parquet(
        self, artifact_id: str, path: str | os.PathLike[str], *, version: int | None = None
    ) -> ArtifactInfo:
        """Write a dataset to a Parquet file, in constant memory, and return its version. Needs the extra `arrow`.

        The file appears whole or not at all, and replaces an existing one. Types are those of `to_arrow`.

        Raises:
            UnsupportedError: pyarrow is not installed.
            NotFoundError, InvalidError: as `to_arrow`; or the file cannot be written.
        """
        return await to_parquet(await self._dataset(artifact_id, version), path)

    async def _dataset(self, artifact_id: str, version: int | None) -> ArtifactReader:
        found = await must_find_version(self._backend, artifact_id, version)
        if found.encoding != "rows":
            raise InvalidError(f"{found.where}: this is no dataset: open_reader or get reads it")
        return ArtifactReader(self._backend, stream_of(artifact_id), found)


def _columns_of(head: Head | None) -> Columns | None:
    newest = None if head is None else newest_of(head)
    if newest is None or newest.kind != "dataset" or newest.schema is None:
        return None
    return Columns(newest.schema["columns"])


def _listed(rows: Any) -> list[Any]:
    for method, argument in (("to_pylist", ""), ("to_dict", "'records'")):  # a table of Arrow, a frame of pandas
        if hasattr(rows, method):
            raise InvalidError(f"rows must be a list of dicts, not {type(rows).__name__}: give .{method}({argument})")
    if isinstance(rows, dict | str | bytes) or not isinstance(rows, Iterable):
        raise InvalidError(f"rows must be a list of dicts, not {type(rows).__name__}")
    return rows if isinstance(rows, list) else list(rows)
