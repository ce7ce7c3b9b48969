"""Two listings by name, side by side: constant memory, however many streams there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Listed

__all__ = ["paired"]


async def paired(
    ours: AsyncIterator[Listed], theirs: AsyncIterator[Listed]
) -> AsyncIterator[tuple[Listed | None, Listed | None]]:
    """Yield each name of two listings once, with both of its streams; None where one listing lacks it.

    A name is yielded before anything behind it is listed, but for the rest of its page. So whoever writes streams of
    names that were yielded does not meet them again.
    """
    one, other = await anext(ours, None), await anext(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.name < other.name):
            yield one, None
            one = await anext(ours, None)
        elif one is None or other.name < one.name:
            yield None, other
            other = await anext(theirs, None)
        else:
            yield one, other
            one, other = await anext(ours, None), await anext(theirs, None)
