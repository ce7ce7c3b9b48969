"""Stowfast: keeps what an AI agent must not lose. Its messages, artifacts, task states and documents.

    async with stowfast.open("sqlite:///agent.db") as stores:
        await stores.messages.add_message("ctx-1", {"role": "user", "content": "hi"})

A write that was acknowledged is never lost, doubled or reordered: under concurrent writers in many processes,
crashes, and answers lost on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from stowfast.errors import InvalidError
from stowfast.first_use import imported, imported_module, loader

if TYPE_CHECKING:
    from collections.abc import Generator

    from stowfast import aws as aws
    from stowfast import sync as sync
    from stowfast import testing as testing
    from stowfast.errors import (
        ConflictError,
        DamagedError,
        NotFoundError,
        StowfastError,
        UnavailableError,
        UnsupportedError,
    )
    from stowfast.memory import InMemoryArtifactStore, InMemoryMessageStore, InMemoryTaskStateStore
    from stowfast.plain_json import to_json
    from stowfast.records import (
        Artifact,
        ArtifactInfo,
        ChangedStream,
        Changes,
        ClaimedTask,
        ContextInfo,
        ContextRef,
        ConversationSlice,
        Document,
        DueRemoval,
        Lease,
        Links,
        MessageEntry,
        Page,
        Retention,
        RetentionRule,
        Stats,
        TaskInfo,
        TaskState,
    )
    from stowfast.stores import Artifacts, Documents, Messages, Rules, Scope, Stores, Tasks

__all__ = [
    "Artifact",
    "ArtifactInfo",
    "Artifacts",
    "ChangedStream",
    "Changes",
    "ClaimedTask",
    "ConflictError",
    "ContextInfo",
    "ContextRef",
    "ConversationSlice",
    "DamagedError",
    "Document",
    "Documents",
    "DueRemoval",
    "InMemoryArtifactStore",
    "InMemoryMessageStore",
    "InMemoryTaskStateStore",
    "InvalidError",
    "Lease",
    "Links",
    "MessageEntry",
    "Messages",
    "NotFoundError",
    "Opening",
    "Page",
    "Retention",
    "RetentionRule",
    "Rules",
    "Scope",
    "Stats",
    "Stores",
    "StowfastError",
    "TaskInfo",
    "TaskState",
    "Tasks",
    "UnavailableError",
    "UnsupportedError",
    "to_json",
]

__version__ = "0.1.0"

_HOMES: Final = {
    "stowfast.errors": (
        *("ConflictError", "DamagedError", "InvalidError", "NotFoundError", "StowfastError", "UnavailableError"),
        "UnsupportedError",
    ),
    "stowfast.memory": ("InMemoryArtifactStore", "InMemoryMessageStore", "InMemoryTaskStateStore"),
    "stowfast.plain_json": ("to_json",),
    "stowfast.records": (
        *("Artifact", "ArtifactInfo", "ChangedStream", "Changes", "ClaimedTask", "ContextInfo", "ContextRef"),
        *(
            "ConversationSlice",
            "Document",
            "DueRemoval",
            "Lease",
            "Links",
            "MessageEntry",
            "Page",
            "Retention",
            "RetentionRule",
            "Stats",
            "TaskInfo",
        ),
        "TaskState",
    ),
    "stowfast.stores": ("Artifacts", "Documents", "Messages", "Rules", "Scope", "Stores", "Tasks"),
}
"""The modules, and their public names."""

_MODULES: Final = frozenset({"aws", "sync", "testing"})


if not TYPE_CHECKING:  # a type checker that sees a module's __getattr__ accepts every misspelt name
    _load: Final = loader(__name__, {name: home for home, names in _HOMES.items() for name in names})

    def __getattr__(name: str) -> Any:
        return imported_module(f"stowfast.{name}") if name in _MODULES else _load(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


# Not in `__all__`: `from stowfast import *` must not replace the builtin of this name.
def open(url: str, **options: Any) -> Opening:
    """Open the stores on the backend that a URL names.

        async with stowfast.open("sqlite:///agent.db") as stores: ...

    or `stores = await stowfast.open(url)` and `await stores.close()` later. The scheme names the backend:

    | scheme | example | backend |
    |---|---|---|
    | `memory` | `memory:` | this process, for tests |
    | `sqlite` | `sqlite:///agent.db`, `sqlite:////var/lib/agent.db` | a file: a relative path, an absolute path |
    | `s3` | `s3://bucket/prefix` | Amazon S3 and compatible stores |
    | `gs` | `gs://bucket/prefix` | Google Cloud Storage |
    | `az` | `az://container/prefix` | Azure Blob Storage |
    | `postgresql` | `postgresql://user:password@host/database` | a schema in PostgreSQL |
    | `moving` | `moving:?from=URL&to=URL` | two backends, while the streams of the first move to the second |

    `s3`, `gs` and `az` need `pip install 'stowfast[s3]'`, `postgresql` needs `pip install 'stowfast[postgres]'`. Other
    packages add schemes as entry points of the group `stowfast.backends`.

    Args:
        url: the scheme, the address, and options of the backend after a `?`.
        options: the same options as keyword arguments.

    Raises:
        InvalidError: the URL or an option is wrong. The error lists the valid ones.
        UnsupportedError: the backend lacks a feature that Stowfast needs, or its driver is not installed.
        UnavailableError: the backend does not answer.
    """
    return Opening(url, options)


class Opening:
    """The result of `open`: await it, or enter it with `async with`."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url
        self._options = options
        self._entered: list[Stores] = []

    def __await__(self) -> Generator[Any, Any, Stores]:
        return self._open().__await__()

    async def __aenter__(self) -> Stores:
        self._entered.append(await self._open())
        return self._entered[-1]

    async def __aexit__(self, *_: object) -> None:
        await self._entered.pop().close()

    def __enter__(self) -> NoReturn:
        raise InvalidError("use `async with stowfast.open(...)`; without asyncio, `with stowfast.sync.open(...)`")

    def __exit__(self, *_: object) -> None: ...

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name in (
                "messages",
                "artifacts",
                "tasks",
                "documents",
                "rules",
                "close",
                "sweep",
                "stats",
                "within",
                "changes",
            ):
                raise InvalidError("an await is missing: `stores = await stowfast.open(...)`, or `async with`")
            raise AttributeError(name)

    async def _open(self) -> Stores:
        backend = await imported("stowfast.registry", "connect")(self._url, **self._options)
        opened: Stores = imported("stowfast.stores", "Stores")(backend)
        return opened
