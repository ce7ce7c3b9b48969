"""A dataset as a table: Arrow, pandas, Parquet. Needs the extras `arrow` and `pandas`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from stowfast.blocking import in_thread
from stowfast.errors import InvalidError, UnsupportedError
from stowfast.names import new_id
from stowfast.stores.codec import decode_lines, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    import pandas
    import pyarrow

    from stowfast.records import ArtifactInfo
    from stowfast.stores.artifacts.reading.reader import ArtifactReader

    Rows = list[dict[str, Any]]

__all__ = ["row_batches", "to_arrow", "to_pandas", "to_parquet"]

_ROW_GROUP: Final = 2**23
"""Bytes of Arrow in one row group of Parquet."""


async def row_batches(reader: ArtifactReader) -> AsyncGenerator[Rows, None]:
    """Stream a dataset in batches of rows, one for each MiB."""
    held: list[bytes] = []
    where = _where(reader)
    reader.seek(0)
    async for piece in reader:
        end = piece.rfind(b"\n") + 1
        held.append(piece[:end])
        if end:
            yield decode_lines(b"".join(held), where)
            held = []
        held.append(piece[end:])
    if rest := b"".join(held):
        yield decode_lines(rest, where)


async def to_arrow(reader: ArtifactReader) -> pyarrow.Table:
    """Return all rows as a table."""
    pa = _pyarrow()
    async with _record_batches(reader) as (schema, batches):
        return pa.Table.from_batches([batch async for batch in batches], schema)


async def to_pandas(reader: ArtifactReader) -> pandas.DataFrame:
    """Return all rows as a frame."""
    table = await to_arrow(reader)
    try:
        return table.to_pandas(integer_object_nulls=True)
    except ImportError as error:
        raise UnsupportedError(f"a frame needs pandas: pip install 'stowfast[pandas]' ({error.name})") from error


async def to_parquet(reader: ArtifactReader, path: str | os.PathLike[str]) -> ArtifactInfo:
    """Write all rows to a file."""
    pa = _pyarrow()
    from pyarrow import parquet

    path = os.fspath(path)
    unfinished = f"{path}.{new_id()[:8]}.part"
    try:
        async with _record_batches(reader) as (schema, batches):
            with ThreadPoolExecutor(1, "stowfast-parquet") as thread, parquet.ParquetWriter(unfinished, schema) as to:
                held: list[Any] = []
                async for batch in batches:
                    held.append(batch)
                    if sum(one.nbytes for one in held) >= _ROW_GROUP:
                        await in_thread(thread, to.write_table, pa.Table.from_batches(held))
                        held = []
                await in_thread(thread, to.write_table, pa.Table.from_batches(held, schema))
        os.replace(unfinished, path)
    except OSError as error:
        raise InvalidError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            os.unlink(unfinished)
    return reader.info


@asynccontextmanager
async def _record_batches(reader: ArtifactReader) -> AsyncIterator[tuple[pyarrow.Schema, AsyncGenerator[Any, None]]]:
    with ThreadPoolExecutor(1, "stowfast-arrow") as thread:
        types = _Types(_pyarrow(), reader)
        if types.open:
            async with aclosing(row_batches(reader)) as batches:
                async for rows in batches:
                    await in_thread(thread, types.look_at, rows)
        schema = types.schema()

        async def converted() -> AsyncGenerator[Any, None]:
            async with aclosing(row_batches(reader)) as batches:
                async for rows in batches:
                    yield await in_thread(thread, types.convert, rows, schema)

        async with aclosing(converted()) as found:
            yield schema, found


class _Types:
    """The Arrow types of a dataset's columns: as declared, or inferred so that every value fits."""

    def __init__(self, pa: Any, reader: ArtifactReader) -> None:
        self._pa = pa
        self._where = _where(reader)
        self._declared: dict[str, str] | None = (reader.info.schema or {}).get("columns")
        scalars = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
        self._types: dict[str, Any] = {}
        self._found: dict[str, Any] = {}
        self._as_json: set[str] = set()
        for name, kind in (self._declared or {}).items():
            self._types[name] = scalars.get(kind.removesuffix("?"))
            if self._types[name] is None:
                self._found[name] = pa.null()

    @property
    def open(self) -> bool:
        """Whether a type must be found by looking at the rows."""
        return self._declared is None or bool(self._found)

    def look_at(self, rows: Rows) -> None:
        """Widen the types to fit the values of these rows."""
        pa = self._pa
        if self._declared is None:
            for name in dict.fromkeys(chain.from_iterable(rows)):
                self._types.setdefault(name, None)
                self._found.setdefault(name, pa.null())
        for name, found in self._found.items():
            if name in self._as_json:
                continue
            try:
                both = [pa.schema([("", found)]), pa.schema([("", pa.array([row.get(name) for row in rows]).type)])]
                self._found[name] = pa.unify_schemas(both, promote_options="permissive").field(0).type
            except (pa.ArrowException, ValueError, TypeError, OverflowError):
                self._as_json.add(name)

    def schema(self) -> pyarrow.Schema:
        """Return the inferred types."""
        pa = self._pa
        self._as_json |= {name for name, found in self._found.items() if not self._keeps(found)}
        fields = []
        for name, scalar in self._types.items():
            kind = pa.string() if name in self._as_json else scalar or self._found[name]
            declared = "any" if self._declared is None else self._declared[name]
            fields.append(pa.field(name, kind, nullable=declared == "any" or declared.endswith("?")))
        return pa.schema(fields)

    def convert(self, rows: Rows, schema: pyarrow.Schema) -> pyarrow.RecordBatch:
        """Return rows as Arrow."""
        arrays = [self._array([row.get(field.name) for row in rows], field) for field in schema]
        return self._pa.record_batch(arrays, schema=schema)

    def _array(self, values: Sequence[Any], field: pyarrow.Field) -> pyarrow.Array:
        if field.name in self._as_json:
            values = [None if value is None else encode(value, self._where).decode() for value in values]
        try:
            return self._pa.array(values, field.type)
        except (self._pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise InvalidError(
                f"{self._where}: column {field.name!r} holds what Arrow cannot keep exactly as {field.type}: {error}"
            ) from error

    def _keeps(self, kind: Any) -> bool:
        """Whether a file can hold a type: Parquet has no objects without keys."""
        if self._pa.types.is_struct(kind):
            return kind.num_fields > 0 and all(self._keeps(field.type) for field in kind)
        return not self._pa.types.is_list(kind) or self._keeps(kind.value_type)


def _where(reader: ArtifactReader) -> str:
    return f"artifact {reader.info.artifact_id!r}, version {reader.info.version}"


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise UnsupportedError(f"a table needs pyarrow: pip install 'stowfast[arrow]' ({error.name})") from error
    return pa
