"""Marks of a move: a copy that is not in use yet, and a source that was left for its copy.

A copy carries a label until its source is deleted. The deletion has an op_id of its own, remembered by the tombstone:
so everybody can tell a stream that was moved from one that its user deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import ALL, Change, Listing, Origin, Slice, Window
from stowfast.errors import ConflictError
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.abc import Backend, Head, Query, Receipt

__all__ = ["Marked", "bare", "cut_over", "is_marked", "unmark", "was_moved"]

_LABEL: Final = "stowfast:moving"
_NOBODY: Final = "-"
"""The incarnation of no stream: a commit that names it is a ConflictError, unless its op_id is known."""


def is_marked(head: Head) -> bool:
    """Return True for a copy that is not in use yet."""
    return _LABEL in head.labels


def bare(head: Head) -> Head:
    """Return a head without the mark."""
    return head._replace(labels={key: value for key, value in head.labels.items() if key != _LABEL})


async def was_moved(old: Backend, name: str, incarnation: str) -> bool:
    """Return True if this life of a stream was left for its copy."""
    try:
        await old.commit(name, Change(op_id=_op_id(incarnation), incarnation=_NOBODY))
    except ConflictError:
        return False
    return True


async def cut_over(old: Backend, head: Head) -> None:
    """Delete the source of a copy, if nothing came since.

    Raises:
        ConflictError: something came since. Copy it, and try again.
        UnavailableError: it may be deleted. Repeat the call.
    """
    change = Change(delete=True, op_id=_op_id(head.incarnation), expect=head.next)
    await old.commit(head.name, change._replace(incarnation=head.incarnation, revision=head.revision))


async def unmark(new: Backend, head: Head) -> None:
    """Put a copy into use. A repeat, or a second caller, changes nothing.

    Raises:
        ConflictError: somebody else did, and wrote to it.
    """
    origin = Origin(bare(head)._replace(note=head.note))
    change = Change(origin=origin, expect=head.next, incarnation=head.incarnation, revision=head.revision)
    await new.commit(head.name, change)


def _op_id(incarnation: str) -> str:
    return f"stowfast-moved:{incarnation}"


class Marked(Wrapper):
    """The target of a move: every copy has the mark, and none is written over a stream that is in use."""

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Store an origin with the mark.

        Raises:
            ConflictError: as ever, or a stream of this name is in use.
        """
        if change.origin is None:
            return await self.backend.commit(stream, change)
        (there,) = await self.backend.heads([stream])
        if there is not None and not is_marked(there):
            raise ConflictError(f"{stream!r} is in use at the target", current=there.next)
        head = change.origin.head
        origin = change.origin._replace(head=head._replace(labels={**head.labels, _LABEL: ""}))
        return await self.backend.commit(stream, change._replace(origin=origin))

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Return the heads without the mark."""
        return [head and bare(head) for head in await self.backend.heads(streams)]

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Read under a head without the mark."""
        head, entries = await self.backend.read(stream, window)
        return Slice(head and bare(head), entries)

    async def streams(self, query: Query) -> Listing:
        """List heads without the mark."""
        found, after = await self.backend.streams(query)
        return Listing([one._replace(head=one.head and bare(one.head)) for one in found], after)
