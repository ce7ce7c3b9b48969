"""The same stores without await: from any thread, also inside a running event loop.

    with stowfast.sync.open("sqlite:///agent.db") as stores:
        stores.messages.add_message("ctx-1", {"role": "user", "content": "hi"})

Every method runs the async method to its end: in the calling thread if the backend allows it, else on an event loop in
a thread of its own. A writer works in the background, so it always has such a loop, until its block ends.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from stowfast import stores
from stowfast.portals import InPlace, LoopThread, portal_of
from stowfast.registry import connect, find
from stowfast.stores.artifacts.datasets import dataset
from stowfast.stores.artifacts.live import writer as live_writer
from stowfast.stores.artifacts.reading.file import ArtifactFile
from stowfast.stores.artifacts.writing import writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from stowfast.portals import Portal
    from stowfast.records import ArtifactInfo, Retention
    from stowfast.stores.artifacts.reading.reader import ArtifactReader

__all__ = [
    "ArtifactWriter",
    "Artifacts",
    "DatasetWriter",
    "Documents",
    "LiveWriter",
    "Messages",
    "Scope",
    "Stores",
    "Tasks",
    "open",
    "over",
]

S = TypeVar("S")
R = TypeVar("R")
F = TypeVar("F")
P = ParamSpec("P")

_END = object()


class _Face:
    """One async store, and the portal to it."""

    def __init__(self, store: Any, portal: Portal) -> None:
        self._store = store
        self._portal = portal


def _call(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]:
    @functools.wraps(method)
    def call(self: _Face, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._portal.run(method(self._store, *args, **kwargs))

    return call


def _iterate(
    method: Callable[Concatenate[S, P], AsyncIterator[R]],
) -> Callable[Concatenate[Any, P], Iterator[R]]:
    @functools.wraps(method)
    def iterate(self: _Face, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        iterator: Any = method(self._store, *args, **kwargs)
        try:
            while (one := self._portal.run(_next(iterator))) is not _END:
                yield one
        finally:
            self._portal.run(iterator.aclose())

    return iterate


async def _next(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator, _END)


def _open(
    method: Callable[Concatenate[S, P], AbstractAsyncContextManager[R]],
    face: Callable[[R, Portal], AbstractContextManager[F]],
    *,
    on_a_loop: bool,
) -> Callable[Concatenate[Any, P], AbstractContextManager[F]]:
    """Enter a context manager of the async store, and yield its sync face.

    Args:
        on_a_loop: it starts a task, and so needs an event loop.
    """

    @functools.wraps(method)
    @contextmanager
    def opened(self: _Face, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[F]:
        own = LoopThread() if on_a_loop and isinstance(self._portal, InPlace) else None
        portal = own or self._portal
        try:
            entered = method(self._store, *args, **kwargs)
            one = portal.run(entered.__aenter__())
            try:
                with face(one, portal) as shown:
                    yield shown
            except BaseException as error:
                if not portal.run(entered.__aexit__(type(error), error, error.__traceback__)):
                    raise
            else:
                portal.run(entered.__aexit__(None, None, None))
        finally:
            if own is not None:
                own.close()

    return opened


class _Writer(_Face):
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

    write = _call(writer.ArtifactWriter.write)
    close = _call(writer.ArtifactWriter.close)
    abort = _call(writer.ArtifactWriter.abort)

    size = property(_size)


class LiveWriter(_Writer):
    """The writer of `open_live`, without await."""

    write = _call(live_writer.LiveWriter.write)
    flush = _call(live_writer.LiveWriter.flush)
    close = _call(live_writer.LiveWriter.close)
    abort = _call(live_writer.LiveWriter.abort)

    size = property(_size)


class DatasetWriter(_Writer):
    """The writer of `open_dataset`, without await."""

    append = _call(dataset.DatasetWriter.append)
    close = _call(dataset.DatasetWriter.close)
    abort = _call(dataset.DatasetWriter.abort)

    @property
    def rows(self) -> int:
        """Rows taken so far, those of the version before included where rows are appended to it."""
        return int(self._store.rows)


def _file(reader: ArtifactReader, portal: Portal) -> ArtifactFile:
    return ArtifactFile(reader, portal.run)


class Messages(_Face):
    """`stowfast.Messages` without await."""

    add_message = _call(stores.Messages.add_message)
    add_messages = _call(stores.Messages.add_messages)
    get_messages = _call(stores.Messages.get_messages)
    read = _call(stores.Messages.read)
    entries = _iterate(stores.Messages.entries)
    watch = _iterate(stores.Messages.watch)
    count = _call(stores.Messages.count)
    pop_message = _call(stores.Messages.pop_message)
    replace_messages = _call(stores.Messages.replace_messages)
    fork = _call(stores.Messages.fork)
    compact = _call(stores.Messages.compact)
    delete = _call(stores.Messages.delete)
    contexts = _call(stores.Messages.contexts)
    info = _call(stores.Messages.info)
    set_metadata = _call(stores.Messages.set_metadata)
    update_metadata = _call(stores.Messages.update_metadata)
    set_expiry = _call(stores.Messages.set_expiry)


class Artifacts(_Face):
    """`stowfast.Artifacts` without await. `open_reader` yields a seekable file object with an `info`."""

    create = _call(stores.Artifacts.create)
    update = _call(stores.Artifacts.update)
    put = _call(stores.Artifacts.put)
    open_writer = _open(stores.Artifacts.open_writer, ArtifactWriter, on_a_loop=True)
    open_live = _open(stores.Artifacts.open_live, LiveWriter, on_a_loop=True)
    open_dataset = _open(stores.Artifacts.open_dataset, DatasetWriter, on_a_loop=True)
    get = _call(stores.Artifacts.get)
    info = _call(stores.Artifacts.info)
    open_reader = _open(stores.Artifacts.open_reader, _file, on_a_loop=False)
    open_file = _call(stores.Artifacts.open_file)
    url = _call(stores.Artifacts.url)
    follow = _iterate(stores.Artifacts.follow)
    rows = _iterate(stores.Artifacts.rows)
    to_arrow = _call(stores.Artifacts.to_arrow)
    to_pandas = _call(stores.Artifacts.to_pandas)
    to_parquet = _call(stores.Artifacts.to_parquet)
    versions = _call(stores.Artifacts.versions)
    list = _call(stores.Artifacts.list)
    prune = _call(stores.Artifacts.prune)
    set_expiry = _call(stores.Artifacts.set_expiry)
    delete = _call(stores.Artifacts.delete)


class Tasks(_Face):
    """`stowfast.Tasks` without await."""

    save = _call(stores.Tasks.save)
    update = _call(stores.Tasks.update)
    load = _call(stores.Tasks.load)
    load_many = _call(stores.Tasks.load_many)
    watch = _iterate(stores.Tasks.watch)
    history = _call(stores.Tasks.history)
    diff = _call(stores.Tasks.diff)
    rewind = _call(stores.Tasks.rewind)
    prune = _call(stores.Tasks.prune)
    claim = _call(stores.Tasks.claim)
    claim_next = _call(stores.Tasks.claim_next)
    work = _iterate(stores.Tasks.work)
    renew = _call(stores.Tasks.renew)
    release = _call(stores.Tasks.release)
    record = _call(stores.Tasks.record)
    steps = _call(stores.Tasks.steps)
    info = _call(stores.Tasks.info)
    list = _call(stores.Tasks.list)
    set_expiry = _call(stores.Tasks.set_expiry)
    delete = _call(stores.Tasks.delete)

    @property
    def retention(self) -> Retention:
        """The retention of tasks saved without one."""
        found: Retention = self._store.retention
        return found

    @retention.setter
    def retention(self, retention: Retention) -> None:
        self._store.retention = retention


class Documents(_Face):
    """`stowfast.Documents` without await."""

    get = _call(stores.Documents.get)
    put = _call(stores.Documents.put)
    update = _call(stores.Documents.update)
    delete = _call(stores.Documents.delete)
    list = _call(stores.Documents.list)
    set_expiry = _call(stores.Documents.set_expiry)


class Stores(_Face):
    """`stowfast.Stores` without await."""

    def __init__(self, store: stores.Stores, portal: Portal) -> None:
        super().__init__(store, portal)
        self._closed = False
        self.messages = Messages(store.messages, portal)
        self.artifacts = Artifacts(store.artifacts, portal)
        self.tasks = Tasks(store.tasks, portal)
        self.documents = Documents(store.documents, portal)

    sweep = _call(stores.Stores.sweep)
    delete_context = _call(stores.Stores.delete_context)

    @property
    def async_stores(self) -> stores.Stores:
        """The same stores with await: they share the backend and all caches. Close one of the two."""
        found: stores.Stores = self._store
        return found

    def within(self, scope: str) -> Scope:  # noqa: D102 - below
        return Scope(self._store.within(scope), self._portal)

    within.__doc__ = stores.Stores.within.__doc__

    def close(self) -> None:
        """Finish the writes under way and close the backend. Closing twice is closing once."""
        if not self._closed:
            self._portal.run(self._store.close())
            self._portal.close()
            self._closed = True

    def __repr__(self) -> str:
        return f"<sync.{type(self).__name__} over {self._store.backend!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Scope(Stores):
    """`stowfast.Scope` without await. Closing it leaves the stores open that it was made from."""

    delete_all = _call(stores.Scope.delete_all)

    def close(self) -> None:
        """Leave the backend open: it belongs to the stores that the scope was made from."""


def over(opened: stores.Stores) -> Stores:
    """Return open stores without await. They share the backend and all caches: close one of the two."""
    return Stores(opened, portal_of(opened.backend))


def open(url: str, **options: Any) -> Stores:
    """Open the three stores on the backend of a URL, as `stowfast.open` does, without await.

    Raises:
        As `stowfast.open`.
    """
    backend, _, _ = find(url)
    portal = portal_of(backend)
    try:
        return Stores(stores.Stores(portal.run(connect(url, **options))), portal)
    except BaseException:
        portal.close()
        raise
