"""The same stores without await: from any thread, also inside a running event loop.

    with stowfast.sync.open("sqlite:///agent.db") as stores:
        stores.messages.add_message("ctx-1", {"role": "user", "content": "hi"})

Every method runs the async method to its end: in the calling thread if the backend allows it, else on an event loop in
a thread of its own. A writer works in the background, so it always has such a loop, until its block ends.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

from stowfast import stores
from stowfast.errors import InvalidError
from stowfast.first_use import imported, loader
from stowfast.portals import portal_of
from stowfast.registry import connect, find
from stowfast.sync.faces import Face, call

if TYPE_CHECKING:
    from stowfast.portals import Portal
    from stowfast.records import Stats
    from stowfast.sync.artifacts import Artifacts, ArtifactWriter, DatasetWriter, LiveWriter
    from stowfast.sync.documents import Documents
    from stowfast.sync.messages import Messages
    from stowfast.sync.rules import Rules
    from stowfast.sync.tasks import Tasks

__all__ = [
    "ArtifactWriter",
    "Artifacts",
    "DatasetWriter",
    "Documents",
    "LiveWriter",
    "Messages",
    "Rules",
    "Scope",
    "Stores",
    "Tasks",
    "open",
    "over",
]

_HOMES: Final = {
    **dict.fromkeys(("ArtifactWriter", "Artifacts", "DatasetWriter", "LiveWriter"), "stowfast.sync.artifacts"),
    "Documents": "stowfast.sync.documents",
    "Messages": "stowfast.sync.messages",
    "Rules": "stowfast.sync.rules",
    "Tasks": "stowfast.sync.tasks",
}
"""The module of each face."""


if not TYPE_CHECKING:  # a type checker that sees a module's __getattr__ accepts every misspelt name
    __getattr__ = loader(__name__, _HOMES)


class Stores(Face):
    """`stowfast.Stores` without await."""

    def __init__(self, store: stores.Stores, portal: Portal) -> None:
        super().__init__(store, portal)
        self._closed = False

    @cached_property
    def messages(self) -> Messages:
        """The conversations."""
        found: Messages = imported(_HOMES["Messages"], "Messages")(self._store.messages, self._portal)
        return found

    @cached_property
    def artifacts(self) -> Artifacts:
        """The files, data and datasets."""
        found: Artifacts = imported(_HOMES["Artifacts"], "Artifacts")(self._store.artifacts, self._portal)
        return found

    @cached_property
    def tasks(self) -> Tasks:
        """The task states."""
        found: Tasks = imported(_HOMES["Tasks"], "Tasks")(self._store.tasks, self._portal)
        return found

    @cached_property
    def documents(self) -> Documents:
        """The small documents."""
        found: Documents = imported(_HOMES["Documents"], "Documents")(self._store.documents, self._portal)
        return found

    @cached_property
    def rules(self) -> Rules:
        """The rules of retention."""
        found: Rules = imported(_HOMES["Rules"], "Rules")(self._store.rules, self._portal)
        return found

    sweep = call(stores.Stores.sweep)
    delete_context = call(stores.Stores.delete_context)
    changes = call(stores.Stores.changes)

    @property
    def async_stores(self) -> stores.Stores:
        """The same stores with await: they share the backend and all caches. Close one of the two."""
        found: stores.Stores = self._store
        return found

    def stats(self) -> Stats:  # noqa: D102 - below
        found: Stats = self._store.stats()
        return found

    stats.__doc__ = stores.Stores.stats.__doc__

    def within(self, scope: str) -> Scope:  # noqa: D102 - below
        return Scope(self._store.within(scope), self._portal)

    within.__doc__ = stores.Stores.within.__doc__

    def close(self) -> None:
        """Finish the writes under way and close the backend. Closing twice is closing once."""
        if not self._closed:
            if not self._portal.is_forked:
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

    delete_all = call(stores.Scope.delete_all)

    def close(self) -> None:
        """Leave the backend open: it belongs to the stores that the scope was made from."""


def over(opened: stores.Stores) -> Stores:
    """Return open stores without await. They share the backend and all caches: close one of the two.

    Raises:
        InvalidError: these are no stores.
    """
    if not isinstance(opened, stores.Stores):
        raise InvalidError(f"over() takes the stores of stowfast.open, not {type(opened).__name__}")
    return Stores(opened, portal_of(opened.backend))


def open(url: str, **options: Any) -> Stores:
    """Open the stores on the backend of a URL, as `stowfast.open` does, without await.

    Raises:
        StowfastError: as `stowfast.open`.
    """
    backend, _, _ = find(url)
    portal = portal_of(backend)
    try:
        return Stores(stores.Stores(portal.run(connect(url, **options))), portal)
    except BaseException:
        portal.close()
        raise
