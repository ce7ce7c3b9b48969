"""Datasets: rows, JSON objects each, appended in batches, read as a stream or as a table. Stored as lines of JSON."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from stowfast.errors import DamagedError, InvalidError
from stowfast.stores.artifacts.datasets.columns import Columns
from stowfast.stores.artifacts.lookup import find_head, find_newest, must_find_version
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.stores.artifacts.records import stream_of
from stowfast.stores.artifacts.writing.commit import add
from stowfast.stores.artifacts.writing.writer import ArtifactWriter
from stowfast.stores.codec import encode_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from stowfast.abc import Backend, Change, Head
    from stowfast.records import Artifact, ArtifactInfo

__all__ = ["DatasetWriter", "open_rows", "write_dataset"]

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


@asynccontextmanager
async def write_dataset(
    backend: Backend,
    artifact: Artifact,
    columns: dict[str, str] | None,
    change: Change,
    *,
    append: bool,
) -> AsyncIterator[DatasetWriter]:
    """Write the next version of a dataset, as `Artifacts.open_dataset` does."""
    artifact_id = artifact.artifact_id
    head = await find_head(backend, artifact_id)
    kept = await _columns_of(backend, head)
    held_to = kept if columns is None else Columns(columns)
    there = None
    if append and head is not None:
        change = change._replace(expect=head.next if change.expect is None else change.expect)
        if head.length:
            there = await open_rows(backend, artifact_id, head.next)
            if columns is not None and not Columns(columns).grown_from(kept):
                has = "no columns" if kept is None else f"the columns {kept.declared}"
                raise InvalidError(f"{artifact_id!r} has {has}: only new ones with a ? can be added to columns")
    artifact = replace(artifact, schema=None if held_to is None else {"columns": held_to.declared})
    change = change._replace(incarnation=head.incarnation if head and change.expect else None)
    pieces = ArtifactWriter(lambda content: add(backend, artifact, content, change, head), "rows")
    async with DatasetWriter(pieces, held_to) as writer:
        if there is not None:
            await writer.copy(there)
        yield writer


async def open_rows(backend: Backend, artifact_id: str, version: int | None) -> ArtifactReader:
    """Return a reader of a dataset.

    Raises:
        NotFoundError: the artifact or the version does not exist.
        InvalidError: it is not a dataset.
    """
    found = await must_find_version(backend, artifact_id, version)
    if found.encoding != "rows":
        raise InvalidError(f"{found.where}: this is no dataset: open_reader or get reads it")
    return ArtifactReader(backend, stream_of(artifact_id), found)


async def _columns_of(backend: Backend, head: Head | None) -> Columns | None:
    newest = None if head is None else await find_newest(backend, head)
    if newest is None or newest.kind != "dataset" or newest.schema is None:
        return None
    try:
        return Columns(newest.schema["columns"])
    except (KeyError, InvalidError) as error:
        raise DamagedError(f"artifact {newest.artifact_id!r}: its columns are damaged") from error


def _listed(rows: Any) -> list[Any]:
    for method, argument in (("to_pylist", ""), ("to_dict", "'records'")):  # a table of Arrow, a frame of pandas
        if hasattr(rows, method):
            raise InvalidError(f"rows must be a list of dicts, not {type(rows).__name__}: give .{method}({argument})")
    if isinstance(rows, dict | str | bytes) or not isinstance(rows, Iterable):
        raise InvalidError(f"rows must be a list of dicts, not {type(rows).__name__}")
    return rows if isinstance(rows, list) else list(rows)
