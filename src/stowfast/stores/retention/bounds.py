"""The bounds of a rule at one moment, and the interface of the functions for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head

__all__ = ["Bounds", "Trim"]


class Bounds(NamedTuple):
    """`Retention` at one moment of the backend's clock. Times are microseconds since 1970."""

    now: int
    since: int | None
    """Older messages and versions go."""
    age: int | None
    """Microseconds."""
    versions: int | None
    messages: int | None
    bytes: int | None


class Trim(Protocol):
    """A function that removes the part of a stream outside the bounds."""

    async def __call__(self, backend: Backend, head: Head, bounds: Bounds, *, dry_run: bool) -> tuple[int, bool] | None:
        """Return the number of removed entries, and whether the stream went whole; None: it stays as it is.

        Raises:
            ConflictError: the stream changed at the same moment. Nothing was removed.
            DamagedError: it does not decode. Nothing was removed.
        """
        ...
