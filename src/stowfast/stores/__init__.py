"""The stores, each written once over any backend, and all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from stowfast.stores.artifacts import Artifacts
from stowfast.stores.documents import Documents
from stowfast.stores.messages.store import Messages
from stowfast.stores.tasks import Tasks

if TYPE_CHECKING:
    from stowfast.abc import Backend, Swept

__all__ = ["Artifacts", "Documents", "Messages", "Stores", "Tasks"]


class Stores:
    """Messages, artifacts, task states and documents in one backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.messages = Messages(backend)
        self.artifacts = Artifacts(backend)
        self.tasks = Tasks(backend)
        self.documents = Documents(backend)

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Remove expired data and leftovers for good, and return the amounts.

        Readable data is not touched, and other processes may go on. A SQLite file is swept at each opening; a
        long-running service calls this from time to time.

        Args:
            dry_run: only return the amounts. Nothing is written or removed.
        """
        return await self.backend.sweep(dry_run=dry_run)

    async def close(self) -> None:
        """Finish the writes under way and let go of the place. Closing twice is closing once."""
        await self.backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
