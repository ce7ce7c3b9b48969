"""Messages: keeps conversations, message by message, in order and exactly as given. A stream of messages each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.abc import Change, Entry, Window
from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.names import check_name
from stowfast.records import MessageEntry
from stowfast.stores.codec import check_counts, check_integers, decode, decode_many, stream_name, to_time
from stowfast.stores.messages.compaction import keep_together, newest_that_fit, summarize
from stowfast.stores.messages.contexts import KIND, Contexts
from stowfast.stores.messages.encoding import encode_message, encode_messages
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from datetime import datetime

    from stowfast.abc import Backend
    from stowfast.records import ContextInfo, ContextRef, Links, Page

    Message = dict[str, Any]
    Summary = Message | Callable[[list[Message]], Message | Awaitable[Message]]
    BelongsTo = Callable[[Message], Links | None]

__all__ = ["Messages"]

_PAGE_BYTES: Final = 2**20
_WAIT_SECONDS: Final = 30.0


class Messages:
    """The conversations of a backend.

    A message is any JSON object. Positions count from 0 in each conversation and are never used twice, so a popped
    message leaves a gap. A conversation begun again after a delete starts at 0.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._contexts = Contexts(backend)

    async def add_message(self, context_id: str, message: Message, *, op_id: str | None = None) -> int:
        """Add a message at the end and return its position.

        After the return the message is stored: every reader sees it, once, in its place, also after a crash. A call
            that was cancelled or got no answer has stored the message wholly or not at all.

        Args:
            op_id: the idempotency key of this call within the conversation. A repeat adds nothing and returns the first
                position. It is remembered while the message is stored, and the newest 64 after that.

        Raises:
            InvalidError: the message is not a JSON object, or the id is invalid. Nothing was stored.
            UnavailableError: it may be stored. Repeat the call with the same op_id to be sure.
        """
        stream = stream_name(KIND, "context_id", context_id)
        receipt = await self._backend.commit(stream, Change(entries=(encode_message(message),), op_id=op_id))
        return receipt.first

    async def add_messages(
        self, context_id: str, messages: Sequence[Message], *, op_id: str | None = None, expect: int | None = None
    ) -> range:
        """Add messages at the end, all or none, in order, and return their positions.

        Args:
            op_id: as in `add_message`.
            expect: the position for the first message, as in `info(...).next_position`.

        Raises:
            ConflictError: the next position is another one, its `current`. Nothing was stored.
            InvalidError: a message is not a JSON object. None was stored.
            UnavailableError: all of them may be stored. Repeat the call with the same op_id.
        """
        stream = stream_name(KIND, "context_id", context_id)
        check_integers(expect=expect)
        entries = encode_messages(messages)
        receipt = await self._backend.commit(stream, Change(entries=entries, op_id=op_id, expect=expect))
        return range(receipt.first, receipt.next)

    async def get_messages(
        self,
        context_id: str,
        *,
        last: int | None = None,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        max_tokens: int | None = None,
        count_tokens: Callable[[Message], int] | None = None,
        belongs_to: BelongsTo | None = None,
        originals: bool = False,
    ) -> list[Message]:
        """Return messages, oldest first, exactly as they were given. An unknown conversation is an empty list.

        Where the conversation was compacted, the summary comes first and stands for the messages it sums up.

        Args:
            last: only the newest so many.
            after: only messages at positions greater than this.
            before: only messages at positions less than this.
            limit: at most so many, counted from the oldest.
            max_tokens: whole messages from the newest back, as long as their tokens fit. The summary is counted
                first. A result is left out where the call it answers does not fit, with all before it: the budget never
                tears a pair. `last` and `after` cut where they say. A call is searched among the 1,000 messages before
                those that fit.
            count_tokens: counts the tokens of a message. Without it: one for every 4 bytes of its JSON, plus one.
            belongs_to: the calls that a message opens and answers, for formats that Stowfast does not understand; None
                for a message whose format it does. Its errors reach the caller.
            originals: the messages themselves, as far as they were kept, instead of the summary.
        """
        stream = stream_name(KIND, "context_id", context_id)
        check_counts(last=last, limit=limit, max_tokens=max_tokens)
        check_integers(after=after, before=before)
        if limit is not None and (last is not None or max_tokens is not None):
            raise InvalidError("limit counts from the oldest, last and max_tokens from the newest: give one of them")
        start = 0 if originals else None
        start = start if after is None else max(after + 1, 0)
        stop = None if before is None else max(before, 0)
        if max_tokens is not None:
            return await newest_that_fit(
                self._backend,
                stream,
                start,
                stop,
                max_tokens=max_tokens,
                count_tokens=count_tokens,
                last=last,
                originals=originals,
                belongs_to=belongs_to,
            )
        count, newest = (limit, False) if last is None else (last, True)
        head, entries = await self._backend.read(stream, Window(start=start, stop=stop, limit=count, newest=newest))
        if head is not None and limit is not None and start is not None and not originals and start < head.base:
            # What `limit` counted is what the summary stands for: count from behind it.
            head, entries = await self._backend.read(stream, Window(stop=stop, limit=limit))
        if head is None:
            return []
        if originals or not head.note:
            return decode_many([entry.data for entry in entries], context_id)
        entries = [entry for entry in entries if entry.position >= head.base]
        summary = ConversationNote.read(head).standing_for(start, stop)
        messages = summary + decode_many([entry.data for entry in entries], context_id)
        if last is not None:
            return messages[max(len(messages) - last, 0) :]
        return messages[:limit]

    async def entries(
        self, context_id: str, *, after: int | None = None, before: int | None = None
    ) -> AsyncGenerator[MessageEntry, None]:
        """Stream the stored messages, oldest first, in constant memory, including compacted messages that were kept.

        Args:
            after, before: as in `get_messages`.

        Raises:
            ConflictError: the conversation was deleted during the read.
        """
        stream = stream_name(KIND, "context_id", context_id)
        start = 0 if after is None else max(after + 1, 0)
        incarnation = None
        while True:
            head, entries = await self._backend.read(stream, Window(start=start, stop=before, max_bytes=_PAGE_BYTES))
            if incarnation is not None and (head is None or head.incarnation != incarnation):
                raise ConflictError(f"{context_id!r} was deleted while it was read")
            if head is None or not entries:
                return
            incarnation = head.incarnation
            for entry in entries:
                yield _record(context_id, entry)
            start = entries[-1].position + 1

    async def watch(self, context_id: str, *, after: int | None = None) -> AsyncGenerator[MessageEntry, None]:
        """Yield new messages of every process, once each and in order. Ends only when you stop it.

        After a delete it follows the conversation from its new beginning, at position 0.

        Args:
            after: start behind this position; -1 for all messages. Default: the next message after the iteration
                starts.
        """
        stream = stream_name(KIND, "context_id", context_id)
        if after is None:
            head = (await self._backend.heads([stream]))[0]
            start, incarnation = (head.next, head.incarnation) if head else (0, None)
        else:
            start, incarnation = max(after + 1, 0), None
        while True:
            head, entries = await self._backend.read(stream, Window(start=start, max_bytes=_PAGE_BYTES))
            if head is not None and incarnation not in (None, head.incarnation):
                start, incarnation = 0, head.incarnation
                continue
            if head is not None:
                incarnation = head.incarnation
            else:
                start = 0  # what begins here from now on is new, wherever an earlier life had come to
            for entry in entries:
                yield _record(context_id, entry)
            if entries:
                start = entries[-1].position + 1
            else:
                await self._backend.wait(
                    stream,
                    incarnation=head.incarnation if head else None,
                    next=head.next if head else 0,
                    timeout=_WAIT_SECONDS,
                )

    async def count(self, context_id: str) -> int:
        """Return the number of readable messages, including compacted messages that were kept."""
        head = (await self._backend.heads([stream_name(KIND, "context_id", context_id)]))[0]
        return head.length if head else 0

    async def pop_message(self, context_id: str, *, op_id: str | None = None) -> Message | None:
        """Remove and return the newest message; None for an empty conversation. Two callers never get the same one.

        The summary and its messages are not popped. The position is not used again.

        Args:
            op_id: the idempotency key of this call within the conversation. A repeat pops nothing and returns the
                message of the first call. For this the newest 8 popped messages, at most 32 KiB, stay in the head of
                the conversation until newer pops, metadata or a summary displace them, or it is deleted.

        Raises:
            UnavailableError: the message may be removed. Repeat the call with the same op_id to get it.
            InvalidError: with an op_id: the message is over 32 KiB, or has no room beside metadata and summary; nothing
                was popped. Or the op_id names another call, or a pop whose message is displaced.
            DamagedError: the message does not decode. Nothing was popped.
        """
        stream = stream_name(KIND, "context_id", context_id)
        if op_id is not None:
            check_name(op_id, "an op_id")
        race, is_known = Race(f"conversation {context_id!r}"), False
        while True:
            head, entries = await self._backend.read(stream, Window(limit=1, newest=True))
            note = ConversationNote.read(head)
            if op_id is not None and op_id in dict(note.popped):
                return dict(note.popped)[op_id]  # type: ignore[no-any-return]
            if is_known:
                raise InvalidError(f"op_id {op_id!r} named an earlier pop, and its message is not kept any more")
            if head is None or not entries:
                return None
            message: Message = decode(entries[0].data, context_id)  # before it is removed: a damaged one stays
            change = Change(
                cut_from=entries[0].position,
                op_id=op_id,
                note=None if op_id is None else note.after_pop(op_id, message),
                expect=head.next,
                revision=head.revision,
                incarnation=head.incarnation,
            )
            receipt = await race.commit(self._backend, stream, change)
            if receipt is not None and not receipt.repeated:
                return message
            is_known = receipt is not None

    async def fork(
        self, context_id: str, new_context_id: str, *, at: int | None = None, op_id: str | None = None
    ) -> int:
        """Begin a new conversation with the messages of another, and return their number.

        All or none, in one commit: the messages pass through memory once. They get positions from 0 and the time of the
        fork. Metadata and summary are copied, the time of expiry is not. Later messages of one do not appear in the
        other.

        Args:
            at: only messages below this position; below `info().compacted` without the summary, as far as kept.
            op_id: the idempotency key of this fork within the new conversation.

        Raises:
            NotFoundError: the source has no messages.
            ConflictError: the new conversation exists.
        """
        stream = stream_name(KIND, "context_id", context_id)
        new_stream = stream_name(KIND, "new_context_id", new_context_id)
        check_integers(at=at)
        head, entries = await self._backend.read(stream, Window(start=0, stop=at))
        if head is None:
            raise NotFoundError(f"there is no conversation {context_id!r}")
        note = ConversationNote.read(head)._replace(popped=())
        if at is not None and at < head.base:
            note = note._replace(summary=None)
        change = Change(
            entries=[entry.data for entry in entries],
            op_id=op_id,
            expect=0,
            revision=0,
            note=note.write(),
            base=sum(entry.position < head.base for entry in entries) if note.summary else 0,
            labels=head.labels,
        )
        try:
            receipt = await self._backend.commit(new_stream, change)
        except ConflictError as error:
            raise ConflictError(f"{new_context_id!r} exists: choose another id, or delete it first") from error
        return receipt.next - receipt.first

    async def compact(
        self,
        context_id: str,
        *,
        keep_last: int,
        summary: Summary,
        drop: bool = False,
        belongs_to: BelongsTo | None = None,
    ) -> int:
        """Replace all but the newest messages by a summary, and return the position of the first message after it.

        `get_messages` then begins with the summary. Messages added meanwhile come behind it; none is lost. A tool call
        stays with its results: more messages are kept if needed. A call at the end without its result stays, too.

        Args:
            keep_last: the number of newest messages to keep.
            summary: the message, or a function (plain or async) of the older messages that returns it. An earlier
                summary is their first message.
            drop: remove the older messages for good. Default: they stay, and `originals=True` reads them.
            belongs_to: as in `get_messages`.

        Raises:
            NotFoundError: the conversation does not exist.
            InvalidError: the summary is not a JSON object, or has over 64 KiB together with the metadata.
            ConflictError: the conversation was deleted or compacted meanwhile. Read again.
        """
        stream = stream_name(KIND, "context_id", context_id)
        check_counts(keep_last=keep_last)
        head, base = await keep_together(self._backend, stream, keep_last, belongs_to)
        if head is None:
            raise NotFoundError(f"there is no conversation {context_id!r}")
        message: Message | None
        if base > head.base:
            message = await summarize(self._backend, stream, head, base, summary)
            encode_message(message, "the summary")
        elif drop and head.first < head.base:
            # Nothing new to sum up, but what was summed up before was kept, and is not wanted any more.
            base, message = head.base, ConversationNote.read(head).summary
        else:
            return head.base
        race = Race(f"conversation {context_id!r}")
        while True:
            change = Change(
                note=ConversationNote.read(head)._replace(summary=message).write(),
                base=base,
                drop_before=base if drop else None,
                revision=head.revision,
                incarnation=head.incarnation,
            )
            if await race.commit(self._backend, stream, change) is not None:
                return base
            read = head
            head = (await self._backend.heads([stream]))[0]
            if head is None or (head.incarnation, head.base) != (read.incarnation, read.base):
                raise ConflictError(f"{context_id!r} was deleted or compacted meanwhile: read it again")

    async def delete(self, context_id: str) -> None:
        """Remove a conversation for good. Deleting an unknown conversation does nothing.

        The next message begins it again at position 0. A writer stalled since before the delete adds nothing: its
        repeated op_id returns the first answer, and its `expect` or its page of `entries` is a ConflictError.
        """
        await self._backend.commit(stream_name(KIND, "context_id", context_id), Change(delete=True))

    async def contexts(
        self,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        order: Literal["recent", "id"] = "recent",
        where: dict[str, Any] | None = None,
    ) -> Page[ContextRef]:
        """List conversations, one page at a time, the last changed first or by id (in code points).

        While conversations change, a page by recency may miss or repeat one; pages by id show every conversation that
        existed throughout.

        Args:
            prefix: the start of the ids.
            after: the `next` of the page before.
            where: metadata that the conversations must have: text of at most 500 bytes, numbers, booleans or None.
        """
        return await self._contexts.page(prefix, after, limit, order, where)

    async def info(self, context_id: str) -> ContextInfo | None:
        """Return a conversation without its messages; None for an unknown one."""
        return await self._contexts.info(context_id)

    async def set_metadata(self, context_id: str, metadata: dict[str, Any]) -> None:
        """Replace the metadata of a conversation: a JSON object, returned by `info`.

        May come before the first message. `contexts(where=...)` finds its texts, numbers, booleans and None.

        Raises:
            InvalidError: it is not a JSON object, or has over 64 KiB together with the summary of a compaction.
        """
        await self._contexts.set_metadata(context_id, metadata)

    async def set_expiry(self, context_id: str, expires_at: datetime | None) -> None:
        """Let a conversation end at a moment, or with None never. From then on it is gone for every reader.

        Raises:
            NotFoundError: there is no such conversation.
        """
        await self._contexts.set_expiry(context_id, expires_at)


def _record(context_id: str, entry: Entry) -> MessageEntry:
    return MessageEntry(entry.position, decode(entry.data, context_id), to_time(entry.created_at), entry.op_id)
