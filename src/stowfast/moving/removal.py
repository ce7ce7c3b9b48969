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
    from collections.abc import Callable, Iterator

    from stowfast.abc import Backend, Listed

__all__ = ["find", "remove"]

_CONVERSATIONS: Final = "messages"
_LIVE: Final = "live"
_CONTEXT: Final = "context_id"
_TASKS: Final = "tasks"
_OWNERS: Final = {_CONTEXT: _CONVERSATIONS, "task_id": _TASKS, "parent_task_id": _TASKS}
"""By label: the kind of the stream that something belongs to."""


async def find(
    place: Place, selection: Selection, *, related: bool = False, progress: Callable[[int], None] | None = None
) -> list[str]:
    """Return the names of the selected streams.

    Args:
        place: a URL, or stores.
        selection: the streams.
        related: also the artifacts and tasks of the selected conversations and tasks: those with their `context_id`,
            `task_id` or `parent_task_id`.
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
        related: also the artifacts and tasks of the selected conversations and tasks.
        progress: called with the number of streams deleted so far.

    Raises:
        UnavailableError: some of them may be deleted. Call it again.
        DamagedError: a stream is too damaged to be deleted.
    """
    report = reporter(progress)
    async with AsyncExitStack() as stack:
        backend, count = await opened_place(place, stack), 0
        while names := await _find(backend, selection, related=related):
            # Owners last: after an interruption they still tell what belongs to them.
            for name in reversed(names):
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
    found = dict.fromkeys(names)
    grown = related and any(kind_of(name) in (_CONVERSATIONS, _TASKS) for name in names)
    while grown:  # a part of a task may be listed before the task
        grown = False
        async for one in listed(backend, Selection()):
            if one.name not in found and any(owner in found for owner in _owners(one)):
                found[one.name] = None
                grown = grown or kind_of(one.name) == _TASKS
    return list(found)


def _owners(one: Listed) -> Iterator[str]:
    """Yield the streams that a stream belongs to, by its labels."""
    scope, mark, kind = one.name.partition("/")[0].rpartition(":")
    labels = {} if one.head is None else one.head.labels
    for label, of in _OWNERS.items():
        # Metadata of any other kind may have a pair of such a name.
        if label in labels and (label == _CONTEXT or kind in (BLOBS_OF, _TASKS)):
            yield f"{scope}{mark}{of}/{labels[label]}"


async def _delete_beside(backend: Backend, name: str) -> None:
    """Remove the copies behind links to a deleted artifact, so that the links end, and its live build."""
    kind, mark, id = name.partition("/")
    beside = [f"{kind.removesuffix(BLOBS_OF)}{one}{mark}{id}" for one in (LINKS, _LIVE)]
    for head in await backend.heads(beside):
        if head is not None:
            await backend.commit(head.name, Change(delete=True))
