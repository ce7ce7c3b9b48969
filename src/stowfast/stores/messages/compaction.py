"""Reads from the newest message backwards: the messages within a budget, and the messages kept by a compaction."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Window
from stowfast.errors import ConflictError
from stowfast.stores.codec import decode, decode_many, encode
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.messages.tool_calls import estimate_tokens, first_whole, tool_calls, tool_results

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from stowfast.abc import Backend, Entry, Head

    Message = dict[str, Any]
    Summary = Message | Callable[[list[Message]], Message | Awaitable[Message]]

__all__ = ["keep_together", "newest_that_fit", "summarize"]

_PAGE_BYTES: Final = 2**18
_LOOK_BACK: Final = 1_000
"""How many older messages are searched for the call of a result. Further apart they are not a pair any more."""


async def newest_that_fit(
    backend: Backend,
    stream: str,
    start: int | None,
    stop: int | None,
    *,
    max_tokens: int,
    count_tokens: Callable[[Message], int] | None,
    last: int | None,
    originals: bool,
) -> list[Message]:
    """Return the newest messages within the token budget, summary first, without a result whose call is left out."""
    kept: list[Message] = []
    summary: list[Message] | None = None
    left, oldest = max_tokens, None
    async for head, entry in _backwards(backend, stream, start, stop):
        if summary is None:
            summary = [] if originals else ConversationNote.read(head).standing_for(start, stop)
            cost = sum(_tokens(one, None, count_tokens) for one in summary)
            summary, left = (summary, left - cost) if cost <= left else ([], left)
        if entry is None or (last is not None and len(kept) == last) or (not originals and entry.position < head.base):
            break
        message = decode(entry.data, stream)
        left -= _tokens(message, entry.data, count_tokens)
        if left < 0:
            oldest = entry.position + 1
            break
        kept.append(message)
    kept.reverse()
    if oldest is not None:
        torn = await _calls_before(backend, stream, start, oldest, _unanswered(kept))
        kept = kept[first_whole(kept, set(torn)) :]
    whole = (summary or []) + kept
    return whole if last is None else whole[max(len(whole) - last, 0) :]


async def keep_together(backend: Backend, stream: str, keep_last: int) -> tuple[Head | None, int]:
    """Return the head, and the first position to keep: at least `keep_last` messages, with their calls."""
    head, entries = await backend.read(stream, Window(limit=keep_last, newest=True))
    if head is None:
        return None, 0
    base = entries[0].position if entries else head.next
    if len(entries) < keep_last:
        return head, head.base
    kept = decode_many([entry.data for entry in entries], stream)
    while unanswered := _unanswered(kept):
        calls = await _calls_before(backend, stream, None, base, unanswered)
        if not calls:
            break
        first = min(calls.values())
        _, older = await backend.read(stream, Window(start=first, stop=base))
        kept = decode_many([entry.data for entry in older], stream) + kept
        base = first
    _, older = await backend.read(stream, Window(stop=base, limit=1))
    return head, base if older else head.base


async def summarize(backend: Backend, stream: str, head: Head, base: int, summary: Summary) -> Message:
    """Return the summary of everything below `base`, an earlier summary included."""
    if not callable(summary):
        return summary
    now, entries = await backend.read(stream, Window(start=head.base, stop=base))
    if now is None or now.incarnation != head.incarnation:
        raise ConflictError(f"{stream!r} was deleted meanwhile")
    older = ConversationNote.read(head).standing_for(None, None) + decode_many(
        [entry.data for entry in entries], stream
    )
    made = summary(older)
    return await made if isawaitable(made) else made


async def _backwards(
    backend: Backend, stream: str, start: int | None, stop: int | None
) -> AsyncIterator[tuple[Head, Entry | None]]:
    """Yield entries from the newest back, each with the head, and once None at the end."""
    incarnation = None
    while True:
        head, entries = await backend.read(stream, Window(start=start, stop=stop, newest=True, max_bytes=_PAGE_BYTES))
        if head is None or head.incarnation != (incarnation or head.incarnation):
            return  # deleted: what was read so far was true when it was read
        incarnation = head.incarnation
        for entry in reversed(entries):
            yield head, entry
        if not entries:
            yield head, None
            return
        stop = entries[0].position


async def _calls_before(
    backend: Backend, stream: str, start: int | None, stop: int, wanted: set[str]
) -> dict[str, int]:
    """Return the position of each wanted call before `stop`."""
    found: dict[str, int] = {}
    if not wanted:
        return found
    seen = 0
    async for _, entry in _backwards(backend, stream, start, stop):
        seen += 1
        if entry is None or seen > _LOOK_BACK or found.keys() >= wanted:
            break
        for call in tool_calls(decode(entry.data, stream)) & wanted:
            found.setdefault(call, entry.position)
    return found


def _unanswered(messages: list[Message]) -> set[str]:
    """Return the results without a call among these messages."""
    calls = set().union(*map(tool_calls, messages))
    return set().union(*map(tool_results, messages)) - calls


def _tokens(message: Message, data: bytes | None, count_tokens: Callable[[Message], int] | None) -> int:
    if count_tokens is not None:
        return count_tokens(message)
    return estimate_tokens(encode(message, "a summary") if data is None else data)
