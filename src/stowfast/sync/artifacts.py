"""Artifacts without await, and their writers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from stowfast import stores
from stowfast.stores.artifacts.datasets import dataset
from stowfast.stores.artifacts.live import writer as live_writer
from stowfast.stores.artifacts.reading.file import ArtifactFile
from stowfast.stores.artifacts.writing import writer
from stowfast.sync.faces import Face, call, enter, iterate

if TYPE_CHECKING:
    from stowfast.portals import Portal
    from stowfast.records import ArtifactInfo
    from stowfast.stores.artifacts.reading.reader import ArtifactReader

__all__ = ["ArtifactWriter", "Artifacts", "DatasetWriter", "LiveWriter"]


class _Writer(Face):
    @property
    def info(self) -> ArtifactInfo | None:
        """The stored version, after the block ended."""
        found: ArtifactInfo | None = self._store.info
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # how the block ended is for the async writer, which knows it


def _size(writer: _Writer) -> int:
    """Bytes taken so far."""
    return int(writer._store.size)  # noqa: SLF001 - a property of the writers below


class ArtifactWriter(_Writer):
    """The writer of `open_writer`, without await."""

    write = call(writer.ArtifactWriter.write)
    close = call(writer.ArtifactWriter.close)
    abort = call(writer.ArtifactWriter.abort)

    size = property(_size)


class LiveWriter(_Writer):
    """The writer of `open_live`, without await."""

    write = call(live_writer.LiveWriter.write)
    flush = call(live_writer.LiveWriter.flush)
    close = call(live_writer.LiveWriter.close)
    abort = call(live_writer.LiveWriter.abort)

    size = property(_size)


class DatasetWriter(_Writer):
    """The writer of `open_dataset`, without await."""

    append = call(dataset.DatasetWriter.append)
    close = call(dataset.DatasetWriter.close)
    abort = call(dataset.DatasetWriter.abort)

    @property
    def rows(self) -> int:
        """Rows taken so far, those of the version before included where rows are appended to it."""
        return int(self._store.rows)


def _file(reader: ArtifactReader, portal: Portal) -> ArtifactFile:
    return ArtifactFile(reader, portal.run)


class Artifacts(Face):
    """`stowfast.Artifacts` without await. `open_reader` yields a seekable file object with an `info`."""

    create = call(stores.Artifacts.create)
    update = call(stores.Artifacts.update)
    put = call(stores.Artifacts.put)
    open_writer = enter(stores.Artifacts.open_writer, ArtifactWriter, on_a_loop=True)
    open_live = enter(stores.Artifacts.open_live, LiveWriter, on_a_loop=True)
    open_dataset = enter(stores.Artifacts.open_dataset, DatasetWriter, on_a_loop=True)
    get = call(stores.Artifacts.get)
    info = call(stores.Artifacts.info)
    open_reader = enter(stores.Artifacts.open_reader, _file, on_a_loop=False)
    open_file = call(stores.Artifacts.open_file)
    url = call(stores.Artifacts.url)
    follow = iterate(stores.Artifacts.follow)
    rows = iterate(stores.Artifacts.rows)
    to_arrow = call(stores.Artifacts.to_arrow)
    to_pandas = call(stores.Artifacts.to_pandas)
    to_parquet = call(stores.Artifacts.to_parquet)
    versions = call(stores.Artifacts.versions)
    list = call(stores.Artifacts.list)
    prune = call(stores.Artifacts.prune)
    set_expiry = call(stores.Artifacts.set_expiry)
    delete = call(stores.Artifacts.delete)
