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
        """What was stored, once it is."""
        return self._writer.info

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writer.__aexit__(kind, error, trace)

    async def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take rows, all of them or none. Cancelled, up to 10,000 were taken; of more, some first ten thousands.

        Raises:
            InvalidError: a row is no JSON object, or does not fit the columns; the error says which row of the
                dataset, counted from 0, and which column.
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
        """Take the rows of another version, which were checked when they were stored."""
        self._count(reader.info.rows or 0)
        async for piece in reader:
            await self._writer.write(piece)

    def _count(self, rows: int) -> None:
        self.rows += rows
        self._writer.content.rows = self.rows

    async def close(self) -> ArtifactInfo:
        """Store what was appended, and return what it is. Closing twice is closing once."""
        return await self._writer.close()

    async def abort(self) -> None:
        """Store nothing. Whoever was told what was stored keeps it."""
        await self._writer.abort()


class Datasets(LiveArtifacts):
    """What can be done with rows."""

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

        It becomes the next version of the artifact, its first where there is none, when the block ends without an
        error; `d.info` then says what was stored. After an exception or a crash nothing can be seen of it, and a sweep
        removes what is left.

        Args:
            columns: names and types: "string", "integer", "number", "boolean", "object", "array" or "any"; with a "?"
                behind it for one that may be null or missing. Every row is held to them. None: those of the version
                before, where it has some; else a row is any JSON object.
            append: begin with the rows of the newest version, which are copied. New columns may be null then. Of two
                who append at once one gets a ConflictError: no rows are lost.
            expect: the version that this one follows; 0 for an artifact that is not there yet. None: whatever is there.
            op_id: names this call: a repeat after a lost answer stores nothing and returns what the first returned.

        Raises:
            InvalidError: the columns are none, or are not those of the rows that are there; or, with `append`, there is
                an artifact that is no dataset.
            ConflictError: at the end: the artifact is not at the version expected. Nothing was stored.
            UnavailableError: at the end: it may have been stored. Write it again with the same op_id.
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
        """Stream the rows of a dataset, as they were given and in their order, in constant memory.

        Raises:
            NotFoundError: there is no such artifact, or no such version.
            InvalidError: it is no dataset.
            DamagedError: what is stored does not match its checksums.
        """
        async with aclosing(row_batches(await self._dataset(artifact_id, version))) as batches:
            async for batch in batches:
                for row in batch:
                    yield row

    async def to_arrow(self, artifact_id: str, *, version: int | None = None) -> pyarrow.Table:
        """Return a dataset as an Arrow table. Needs the extra `arrow`.

        Declared columns of strings, integers (of 64 bits), numbers (of doubles) and booleans have these types. Of
        others Arrow finds the type, by a look at all rows first; where it finds none that fits all values, they are
        their JSON, as text. A column that a row does not have is null in it.

        Raises:
            UnsupportedError: pyarrow is not installed.
            NotFoundError: there is no such artifact, or no such version.
            InvalidError: it is no dataset, or a number does not fit its column's Arrow type exactly.
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
        """Write a dataset to a Parquet file, in constant memory, and return which version it is. Needs `arrow`.

        The file is there whole, or not at all; one that is there is replaced. Types are those of `to_arrow`.

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
