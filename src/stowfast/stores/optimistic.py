"""Optimistic changes: read, decide, commit under a condition; after a racing change begin again with a new read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import Change
from stowfast.errors import ConflictError

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head, Receipt

__all__ = ["MAX_ATTEMPTS", "Race", "delete_if_still", "find_receipt"]

MAX_ATTEMPTS: Final = 1_000
"""Attempts of one call. Each lost attempt is the success of another caller."""

_NOWHERE: Final = -1
"""A position that no stream can be at."""


class Race:
    """The attempts of one call against racing changes.

        race = Race("task 'a'")
        while True:
            (head,) = await backend.heads([stream])
            if await race.commit(backend, stream, change_of(head)) is not None:
                return

    Args:
        name: the subject in the error.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost = 0
        """Lost attempts so far."""

    async def commit(self, backend: Backend, stream: str, change: Change) -> Receipt | None:
        """Commit, and return the receipt; None after a racing change: read again.

        Raises:
            ConflictError: the last attempt was lost, too.
        """
        try:
            return await backend.commit(stream, change)
        except ConflictError:
            self.lose()
            return None

    def lose(self) -> None:
        """Count a lost attempt.

        Raises:
            ConflictError: it was the last one. Nothing was changed.
        """
        self.lost += 1
        if self.lost == MAX_ATTEMPTS:
            raise ConflictError(f"{self.name} was changed {MAX_ATTEMPTS:,} times meanwhile: try again")


def delete_if_still(head: Head) -> Change:
    """Return the change that deletes a stream if nothing has come, and nothing was changed, since its head was read."""
    return Change(delete=True, expect=head.next, incarnation=head.incarnation, revision=head.revision)


async def find_receipt(backend: Backend, stream: str, op_id: str) -> Receipt | None:
    """Return the receipt of the commit of one entry under this op_id, the idempotency key; None for an unknown one.

    The question is a commit that no stream accepts, so it stores nothing, and a backend answers it in its place among
    the commits, with the code that answers a repeat.
    """
    try:
        return await backend.commit(stream, Change(entries=(b"",), op_id=op_id, expect=_NOWHERE))
    except ConflictError:
        return None
