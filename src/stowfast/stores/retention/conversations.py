"""Conversations under a rule: the oldest messages go, no call without its result, or the whole conversation."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from stowfast.abc import Change, Window
from stowfast.errors import ConflictError
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.messages.metadata import moved
from stowfast.stores.messages.tail import Tail
from stowfast.stores.optimistic import delete_if_still

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head
    from stowfast.stores.retention.bounds import Bounds

__all__ = ["trim_conversation"]


async def trim_conversation(backend: Backend, head: Head, bounds: Bounds, *, dry_run: bool) -> tuple[int, bool] | None:
    """Remove the part of a conversation outside the bounds. Its summary and its metadata stay."""
    there = head.length - len(ConversationNote.read(head).hidden)
    if bounds.since is not None and head.updated_at < bounds.since:
        if not dry_run:
            await backend.commit(head.name, delete_if_still(head))
        return there, True
    is_old = bounds.since is not None and head.created_at < bounds.since and await _begins_before(backend, head, bounds)
    if not (is_old or bounds.bytes is not None or (bounds.messages is not None and there > bounds.messages)):
        return None
    async with aclosing(Tail(backend, head.name, 0, None, None)) as tail:
        kept = await _kept(tail, bounds)
        head = tail.head or head
        gone = head.length - len(ConversationNote.read(head).hidden) - kept
        if gone <= 0:
            return None
        if not dry_run:
            await _cut(backend, head, tail.positions[kept - 1] if kept else head.next)
        return gone, False


async def _begins_before(backend: Backend, head: Head, bounds: Bounds) -> bool:
    """Whether the oldest entry is too old: one read, in place of all messages of a conversation that was cut before."""
    _, entries = await backend.read(head.name, Window(start=head.first, limit=1))
    return bool(entries) and bounds.since is not None and entries[0].created_at < bounds.since


async def _kept(tail: Tail, bounds: Bounds) -> int:
    """Return the number of newest messages to keep: those within the bounds, and the calls they belong to."""
    kept = size = 0
    while True:
        message, data = await tail.older()
        if message is None:
            return kept
        size += len(data)
        is_outside = (
            (bounds.messages is not None and kept >= bounds.messages)
            or (bounds.bytes is not None and size > bounds.bytes and kept > 0)
            or (bounds.since is not None and tail.created_at < bounds.since)
        )
        if is_outside:
            return await tail.most(kept)
        kept += 1


async def _cut(backend: Backend, head: Head, position: int) -> None:
    """Remove the messages below a position. Messages added since the head was read stay behind the others.

    Raises:
        ConflictError: the conversation was changed otherwise, or deleted.
    """
    after = await moved(backend, head, ConversationNote.read(head), stop=position)
    if after is None:
        raise ConflictError(f"{head.name!r} was changed meanwhile")
    note, spilled = after
    change = Change(
        entries=spilled,
        note=note.write(),
        base=max(head.base, position),
        drop_before=position,
        expect=head.next if spilled else None,
        revision=head.revision,
        incarnation=head.incarnation,
        quiet=not spilled,
    )
    await backend.commit(head.name, change)
