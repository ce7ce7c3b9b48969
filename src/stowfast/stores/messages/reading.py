"""Reads of a conversation: a window at one moment, and a stream of entries in either direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Entry, Window
from stowfast.errors import ConflictError, InvalidError
from stowfast.records import MessageEntry
from stowfast.stores.codec import check_counts, check_integers, decode, to_time
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.messages.metadata import messages_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stowfast.abc import Backend, Head

__all__ = ["PAGE_BYTES", "bounds", "read_window", "record", "stream_entries"]

PAGE_BYTES: Final = 2**20


def bounds(
    *, after: int | None, before: int | None, originals: bool, **counts: int | None
) -> tuple[int | None, int | None]:
    """Return start and stop of a `Window`.

    Raises:
        InvalidError: a position or a count is no integer, or a count is negative.
    """
    check_counts(**counts)
    check_integers(after=after, before=before)
    start = 0 if originals else None
    return start if after is None else max(after + 1, 0), None if before is None else max(before, 0)


async def read_window(
    backend: Backend,
    stream: str,
    window: tuple[int | None, int | None],
    *,
    last: int | None,
    limit: int | None,
    originals: bool,
) -> tuple[Head | None, list[dict[str, Any]], list[Entry]]:
    """Return the head, the summary if the window begins with it, and the entries behind it, at one moment."""
    if limit is not None and last is not None:
        raise InvalidError("limit counts from the oldest, last from the newest: give one of them")
    start, stop = window
    count, newest = (limit, False) if last is None else (last, True)
    head, entries = await _read(backend, stream, Window(start=start, stop=stop, limit=count, newest=newest))
    if head is not None and limit is not None and start is not None and not originals and start < head.base:
        # What `limit` counted is what the summary stands for: count from behind it.
        head, entries = await _read(backend, stream, Window(stop=stop, limit=limit))
    if head is None or originals or not head.base:
        return head, [], entries
    entries = [entry for entry in entries if entry.position >= head.base]
    summary = ConversationNote.read(head).standing_for(start, stop)
    if last is not None and len(entries) + len(summary) > last:
        summary = []
    if limit is not None:
        summary, entries = summary[:limit], entries[: max(limit - len(summary), 0)]
    return head, summary, entries


async def _read(backend: Backend, stream: str, window: Window) -> tuple[Head | None, list[Entry]]:
    """Return the messages of a window; its limit counts messages alone."""
    asked = window
    while True:
        head, entries = await backend.read(stream, asked)
        messages = messages_of(entries)
        if window.limit is None or asked.limit is None or len(entries) < asked.limit or len(messages) >= window.limit:
            break
        asked = asked._replace(limit=asked.limit + window.limit - len(messages))
    if window.limit is None or len(messages) <= window.limit:
        return head, messages
    return head, messages[-window.limit :] if window.newest else messages[: window.limit]


async def stream_entries(
    backend: Backend,
    stream: str,
    context_id: str,
    window: tuple[int | None, int | None],
    *,
    last: int | None,
    reverse: bool,
) -> AsyncGenerator[MessageEntry, None]:
    """Yield the entries of a window, page by page; in order of their positions, or the newest first."""
    start, stop = window
    backwards = reverse or last is not None
    pages: list[list[Entry]] = []
    incarnation, left = None, last
    while left != 0:
        page = Window(start=start, stop=stop, limit=left, newest=backwards, max_bytes=PAGE_BYTES)
        head, entries = await backend.read(stream, page)
        if incarnation is not None and (head is None or head.incarnation != incarnation):
            raise ConflictError(f"{context_id!r} was deleted while it was read")
        if head is None or not entries:
            break
        incarnation = head.incarnation
        if not backwards:
            start = entries[-1].position + 1
        else:
            stop = entries[0].position
        entries = messages_of(entries)
        left = None if left is None else left - len(entries)
        if backwards and not reverse:
            pages.append(entries)  # the newest come first from the backend, and last from here
            continue
        for entry in reversed(entries) if reverse else entries:
            yield record(context_id, entry)
    while pages:
        for entry in pages.pop():
            yield record(context_id, entry)


def record(context_id: str, entry: Entry) -> MessageEntry:
    """Return an entry as users see it."""
    return MessageEntry(entry.position, decode(entry.data, context_id), to_time(entry.created_at), entry.op_id)
