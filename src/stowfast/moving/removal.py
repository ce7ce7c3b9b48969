"""Removal of selected streams: conversations with their artifacts and tasks, and everything of a person."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from stowfast.abc import Change
from stowfast.moving.blobs import BLOBS_OF
from stowfast.moving.copying import Place, opened_place
from stowfast.moving.results import reporter
from stowfast.moving.selection import LINKS, Selection, kind_of, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.abc import Backend

__all__ = ["find", "remove"]

_CONVERSATIONS: Final = "messages"
_LIVE: Final = "live"
_CONTEXT: Final = "context_id"


async def find(
    place: Place, selection: Selection, *, related: bool = False, progress: Callable[[int], None] | None = None
) -> list[str]:
    """Return the names of the selected streams.

    Args:
        place: a URL, or stores.
        selection: the streams.
        related: also the artifacts and tasks of the selected conversations: those with their `context_id`.
        progress: called with the number of streams looked at so far.
    """
    async with AsyncExitStack() as stack:
        backend = await opened_place(place, stack, reading=True)
        return await _find(backend, selection, related=related, progress=progress)


async def remove(
    place: Place, selection: Selection, *, related: bool = False, progress: Callable[[int], None] | None = None
) -> int:
    """Delete the selected streams, and return their number.

    Not atomic. A listing at the end finds what came meanwhile and deletes it, too, until nothing is left. After an
    error or a lost answer call it again. The content of artifacts goes with the next sweep.

    Args:
        place: a URL, or stores.
        selection: the streams.
        related: also the artifacts and tasks of the selected conversations.
        progress: called with the number of streams deleted so far.

    Raises:
        UnavailableError: some of them may be deleted. Call it again.
        DamagedError: a stream is too damaged to be deleted.
    """
    report = reporter(progress)
    async with AsyncExitStack() as stack:
        backend, count = await opened_place(place, stack), 0
        while names := await _find(backend, selection, related=related):
            # Conversations last: after an interruption they still tell what belongs to them.
            for name in sorted(names, key=lambda name: kind_of(name) == _CONVERSATIONS):
                await backend.commit(name, Change(delete=True))
                if kind_of(name) == BLOBS_OF:
                    await _delete_beside(backend, name)
                count += 1
                report(count)
        return count


async def _find(
    backend: Backend, selection: Selection, *, related: bool, progress: Callable[[int], None] | None = None
) -> list[str]:
    # A damaged stream does not tell its metadata: it may be anybody's.
    seen = listed(backend, selection, progress=progress)
    names = [one.name async for one in seen if one.head is not None or not selection.where]
    conversations = {name for name in names if kind_of(name) == _CONVERSATIONS}
    if not related or not conversations:
        return names
    found = dict.fromkeys(names)
    async for one in listed(backend, Selection()):
        context = None if one.head is None else one.head.labels.get(_CONTEXT)
        if context is None:
            continue
        scope = one.name.partition("/")[0].rpartition(":")
        if f"{scope[0]}{scope[1]}{_CONVERSATIONS}/{context}" in conversations:
            found[one.name] = None
    return list(found)


async def _delete_beside(backend: Backend, name: str) -> None:
    """Remove the copies behind links to a deleted artifact, so that the links end, and its live build."""
    kind, mark, id = name.partition("/")
    beside = [f"{kind.removesuffix(BLOBS_OF)}{one}{mark}{id}" for one in (LINKS, _LIVE)]
    for head in await backend.heads(beside):
        if head is not None:
            await backend.commit(head.name, Change(delete=True))
