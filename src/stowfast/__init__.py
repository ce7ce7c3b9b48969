"""Stowfast: keeps what an AI agent must not lose. Its messages, its artifacts, its task states.

    async with stowfast.open("sqlite:///agent.db") as stores:
        await stores.messages.add_message("ctx-1", {"role": "user", "content": "hi"})

A write that was acknowledged is never lost, doubled or reordered: under concurrent writers in many processes,
crashes, and answers lost on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.errors import (
    ConflictError,
    DamagedError,
    InvalidError,
    NotFoundError,
    StowfastError,
    UnavailableError,
    UnsupportedError,
)
from stowfast.memory import InMemoryArtifactStore, InMemoryMessageStore, InMemoryTaskStateStore
from stowfast.records import (
    Artifact,
    ArtifactInfo,
    ContextInfo,
    ContextRef,
    Lease,
    MessageEntry,
    Page,
    Retention,
    TaskInfo,
    TaskState,
)
from stowfast.registry import connect
from stowfast.stores import Artifacts, Messages, Stores, Tasks

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "Artifact",
    "ArtifactInfo",
    "Artifacts",
    "ConflictError",
    "ContextInfo",
    "ContextRef",
    "DamagedError",
    "InMemoryArtifactStore",
    "InMemoryMessageStore",
    "InMemoryTaskStateStore",
    "InvalidError",
    "Lease",
    "MessageEntry",
    "Messages",
    "NotFoundError",
    "Opening",
    "Page",
    "Retention",
    "Stores",
    "StowfastError",
    "TaskInfo",
    "TaskState",
    "Tasks",
    "UnavailableError",
    "UnsupportedError",
    "open",
]

__version__ = "0.1.0"


def open(url: str, **options: Any) -> Opening:
    """Open the place that a URL means.

        async with stowfast.open("sqlite:///agent.db") as stores: ...

    or `stores = await stowfast.open(url)` and `await stores.close()` later.

    Args:
        url: `memory:`, `sqlite:///relative.db`, `sqlite:////absolute/path.db`. What follows a `?` are options.
        options: the same options as keyword arguments.

    Raises:
        InvalidError: the URL or an option is wrong. The error says what there is.
        UnsupportedError: the place cannot do what Stowfast needs, or its driver is not installed.
        UnavailableError: the place gives no answer.
    """
    return Opening(url, options)


class Opening:
    """What `open` returns: await it, or enter it with `async with`."""

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

    async def _open(self) -> Stores:
        return Stores(await connect(self._url, **self._options))
