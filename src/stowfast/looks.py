"""Looks for damage that no read of a stream meets, page by page: the audit of a backend."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

__all__ = ["Looked", "look_through"]


class Looked(NamedTuple):
    """The result of one look at a page."""

    damage: list[tuple[str, str]]
    """Names of streams, or of parts of the backend, each with its reason."""
    after: Any
    """Where the next look goes on; None: this was the last."""


async def look_through(
    looks: Iterable[Callable[..., Any]], perform: Callable[[Callable[..., Any]], Awaitable[Looked]]
) -> AsyncIterator[tuple[str, str]]:
    """Yield the damage that looks find: names and reasons.

    Args:
        looks: functions that take `after`, and what the backend gives them.
        perform: performs a look whose `after` is given.
    """
    for look in looks:
        after = None
        while True:
            damage, after = await perform(partial(look, after=after))
            for one in damage:
                yield one
            if after is None:
                break
