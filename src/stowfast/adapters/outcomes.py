"""Outcomes that a caller learns even if it is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["outcome_of"]

T = TypeVar("T")


async def outcome_of(change: Coroutine[Any, Any, T]) -> T:
    """Run a change to its end, and let a cancellation of the caller through only then.

    For frameworks that act on the stored state after a cancellation: it must not change any more. The wait is as long
    as the change: over a `Patient` backend at most its `within` and one attempt.

    Raises:
        CancelledError: the caller was cancelled. The change has ended: an error of its own is the `__cause__`, without
            one it was made.
    """
    task = asyncio.ensure_future(change)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from None if task.cancelled() else task.exception()
    return task.result()
