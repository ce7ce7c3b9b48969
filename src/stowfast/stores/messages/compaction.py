"""Reads from the newest message backwards: the messages within a budget, and the messages kept by a compaction."""

from __future__ import annotations

from contextlib import aclosing
from inspect import isawaitable
from operator import index
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Window
from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.stores.codec import check_counts, check_given, decode_many, encode, stream_name
from stowfast.stores.messages.contexts import KIND
from stowfast.stores.messages.encoding import encode_message
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.messages.metadata import messages_of, moved
from stowfast.stores.messages.tail import Tail
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from stowfast.abc import Backend, Head
    from stowfast.records import Links

    Message = dict[str, Any]
    AnyMessage = Mapping[str, Any]
    Summary = AnyMessage | Callable[[list[Message]], AnyMessage | Awaitable[AnyMessage]]
    BelongsTo = Callable[[Message], Links | None]

__all__ = ["compact", "estimate_tokens", "newest_that_fit"]

_BYTES_A_TOKEN: Final = 4


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
    belongs_to: BelongsTo | None,
) -> list[Message]:
    """Return the newest messages within the token budget, summary first, without a result whose call is left out."""
    kept: list[Message] = []
    summary: list[Message] | None = None
    left = max_tokens
    async with aclosing(Tail(backend, stream, 0 if start is None else start, stop, belongs_to)) as tail:
        while True:
            message, data = await tail.older()
            if tail.head is not None and summary is None:
                summary = [] if originals else ConversationNote.read(tail.head).standing_for(start, stop)
                cost = sum(_tokens(one, None, count_tokens) for one in summary)
                summary, left = (summary, left - cost) if cost <= left else ([], left)
            if message is None or tail.head is None or (last is not None and len(kept) == last):
                break
            is_summed_up = not originals and tail.positions[-1] < tail.head.base
            left -= 0 if is_summed_up else _tokens(message, data, count_tokens)
            if is_summed_up or left < 0:
                kept = kept[: await tail.fewest(len(kept))]
                break
            kept.append(message)
    whole = (summary or []) + kept[::-1]
    return whole if last is None else whole[max(len(whole) - last, 0) :]


async def _keep_together(
    backend: Backend, stream: str, keep_last: int, belongs_to: BelongsTo | None
) -> tuple[Head | None, int]:
    """Return the head, and the first position to keep: at least `keep_last` messages, with their calls."""
    async with aclosing(Tail(backend, stream, None, None, belongs_to)) as tail:
        while len(tail.positions) < keep_last and (await tail.older())[0] is not None:
            pass
        kept = await tail.most(len(tail.positions))
        is_all = kept == len(tail.positions) and (await tail.older())[0] is None
        if tail.head is None:
            return None, 0
        if is_all:
            return tail.head, tail.head.base
        return tail.head, tail.positions[kept - 1] if kept else tail.head.next


async def compact(
    backend: Backend,
    context_id: str,
    keep_last: int,
    summary: Summary | None,
    belongs_to: BelongsTo | None,
    *,
    drop: bool,
) -> int:
    """Replace all but the newest messages by a summary, and return the position of the first message after it."""
    stream = stream_name(KIND, "context_id", context_id)
    check_given(keep_last=keep_last)
    check_counts(keep_last=keep_last)
    head, base = await _keep_together(backend, stream, keep_last, belongs_to)
    if head is None:
        raise NotFoundError(f"there is no conversation {context_id!r}")
    message: Message | None
    if base > head.base:
        message = None if summary is None else await _summarize(backend, stream, head, base, summary)
    elif drop and head.first < head.base:
        # Nothing new to sum up, but what was summed up before was kept, and is not wanted any more.
        base, message = head.base, ConversationNote.read(head).summary
    else:
        return head.base
    race = Race(f"conversation {context_id!r}")
    while True:
        note = ConversationNote.read(head)._replace(summary=message)
        after = await moved(backend, head, note, stop=base if drop else 0)
        if after is not None:
            note, spilled = after
            change = Change(
                entries=spilled,
                note=note.write(),
                base=base,
                drop_before=base if drop else None,
                expect=head.next if spilled else None,
                revision=head.revision,
                incarnation=head.incarnation,
                quiet=not spilled,
            )
            if await race.commit(backend, stream, change) is not None:
                return base
        else:
            race.lose()
        read = head
        head = (await backend.heads([stream]))[0]
        if head is None or (head.incarnation, head.base) != (read.incarnation, read.base):
            raise ConflictError(f"{context_id!r} was deleted or compacted meanwhile: read it again")


async def _summarize(backend: Backend, stream: str, head: Head, base: int, summary: Summary) -> Message:
    """Return the summary of everything below `base`, an earlier summary included.

    Raises:
        InvalidError: it is not a JSON object.
    """
    made: Any = summary
    if callable(summary):
        now, entries = await backend.read(stream, Window(start=head.base, stop=base))
        if now is None or now.incarnation != head.incarnation:
            raise ConflictError(f"{stream!r} was deleted meanwhile")
        older = ConversationNote.read(head).standing_for(None, None) + decode_many(
            [entry.data for entry in messages_of(entries)], stream
        )
        made = summary(older)
        made = await made if isawaitable(made) else made
    encode_message(made, "the summary")
    message: Message = made
    return message


def estimate_tokens(data: bytes) -> int:
    """Guess how many tokens a message takes: one for every 4 bytes of its JSON, and at least one.

    High by about a tenth for English chat, more for messages with many keys; right to within a third for most
    languages. Pass a tokenizer's count where the guess is not good enough.
    """
    return len(data) // _BYTES_A_TOKEN + 1


def _tokens(message: Message, data: bytes | None, count_tokens: Callable[[Message], int] | None) -> int:
    if count_tokens is not None:
        counted = count_tokens(message)
        try:
            tokens = index(counted)
        except TypeError:
            tokens = -1
        if tokens < 0:
            raise InvalidError(f"count_tokens returned {type(counted).__name__}: it returns an int of 0 or more")
        return tokens
    return estimate_tokens(encode(message, "a summary") if data is None else data)
