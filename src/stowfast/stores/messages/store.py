"""Messages: keeps conversations, message by message, in order and exactly as given. A stream of messages each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, overload

from stowfast.abc import Change, Window
from stowfast.errors import InvalidError
from stowfast.records import ConversationSlice
from stowfast.stores.codec import check_given, decode_many, from_duration, stream_name
from stowfast.stores.labels import check_metadata
from stowfast.stores.messages import changes
from stowfast.stores.messages.compaction import compact, newest_that_fit
from stowfast.stores.messages.contexts import KIND, Contexts, info_of
from stowfast.stores.messages.encoding import encode_messages, encode_one
from stowfast.stores.messages.metadata import load_metadata, messages_of
from stowfast.stores.messages.reading import PAGE_BYTES, bounds, read_window, record, stream_entries
from stowfast.stores.messages.token import conditions_of
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
    from datetime import datetime, timedelta

    from stowfast.abc import Backend
    from stowfast.records import ContextInfo, ContextRef, Links, MessageEntry, Page

    Message = dict[str, Any]
    AnyMessage = Mapping[str, Any]
    Summary = AnyMessage | Callable[[list[Message]], AnyMessage | Awaitable[AnyMessage]]
    BelongsTo = Callable[[Message], Links | None]

__all__ = ["Messages"]

_WAIT_SECONDS: Final = 30.0


class Messages:
    """The conversations of a backend.

    A message is any JSON object: a dict, whether its type is `dict` or a TypedDict. Positions count from 0 in each
    conversation and are never used twice, so a popped message leaves a gap. A conversation begun again after a delete
    starts at 0.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._contexts = Contexts(backend)

    async def add_message(
        self,
        context_id: str,
        message: AnyMessage,
        *,
        op_id: str | None = None,
        expect: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        if_token: str | None = None,
        ttl: timedelta | None = None,
    ) -> int:
        """Add a message at the end and return its position.

        After the return the message is stored: every reader sees it, once, in its place, also after a crash. A call
        that was cancelled or got no answer has stored the message wholly or not at all.

        Args:
            op_id: the idempotency key of this call within the conversation. A repeat adds nothing, whatever its
                message, and returns the first position. It is remembered while the message is stored, and the newest
                64 after that.
            expect, metadata, if_token, ttl: as in `add_messages`.

        Raises:
            ConflictError: as in `add_messages`. Nothing was stored.
            InvalidError: the message is not a JSON object, or the id is invalid. Nothing was stored.
            UnavailableError: it may be stored. Repeat the call with the same op_id to be sure.
        """
        added = await changes.add(
            self._backend, context_id, [encode_one(message)], op_id,
            expect=expect, metadata=metadata, if_token=if_token, ttl=ttl,
        )  # fmt: skip
        return added.start

    async def add_messages(
        self,
        context_id: str,
        messages: Iterable[AnyMessage],
        *,
        op_id: str | None = None,
        expect: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        if_token: str | None = None,
        ttl: timedelta | None = None,
    ) -> range:
        """Add messages at the end, all or none, in order, and return their positions.

        Args:
            op_id: as in `add_message`.
            expect: the position for the first message, as in `info(...).next_position`.
            metadata: replaces the metadata of the conversation in the same commit.
            if_token: the conversation must be as it was at this `info(...).token`: no message, no metadata, nothing
                changed since.
            ttl: the conversation ends so long after this call, by the backend's clock. A call without it leaves the
                expiry as it is.

        Raises:
            ConflictError: the next position is another one, its `current`, or the token is outdated. Nothing was
                stored.
            InvalidError: a message is not a JSON object, with its number from 0. None was stored.
            UnavailableError: all of them may be stored. Repeat the call with the same op_id.
        """
        return await changes.add(
            self._backend, context_id, encode_messages(messages), op_id,
            expect=expect, metadata=metadata, if_token=if_token, ttl=ttl,
        )  # fmt: skip

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

        Raises:
            InvalidError: a count is negative, `limit` stands beside a count from the newest, `count_tokens` returned no
                int of 0 or more, or `belongs_to` neither `Links` nor None.
        """
        stream = stream_name(KIND, "context_id", context_id)
        window = bounds(after=after, before=before, originals=originals, last=last, limit=limit, max_tokens=max_tokens)
        if max_tokens is None:
            _, summary, entries = await read_window(
                self._backend, stream, window, last=last, limit=limit, originals=originals
            )
            return summary + decode_many([entry.data for entry in entries], context_id)
        if limit is not None:
            raise InvalidError("limit counts from the oldest, max_tokens from the newest: give one of them")
        return await newest_that_fit(
            self._backend,
            stream,
            *window,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            last=last,
            originals=originals,
            belongs_to=belongs_to,
        )

    async def read(
        self,
        context_id: str,
        *,
        last: int | None = None,
        after: int | None = None,
        before: int | None = None,
        limit: int | None = None,
        originals: bool = False,
    ) -> ConversationSlice:
        """Return messages with their positions, and the info they were read under, all of one moment.

        So a change with `if_token=conversation.info.token` is made for these messages, or not at all.

        Args:
            last, after, before, limit, originals: as in `get_messages`.
        """
        stream = stream_name(KIND, "context_id", context_id)
        window = bounds(after=after, before=before, originals=originals, last=last, limit=limit)
        race = Race(f"conversation {context_id!r}")
        while True:
            head, summary, entries = await read_window(
                self._backend, stream, window, last=last, limit=limit, originals=originals
            )
            metadata = None if head is None else await load_metadata(self._backend, head)
            if head is None or metadata is not None:
                break
            race.lose()
        return ConversationSlice(
            info=None if head is None else info_of(head, metadata),
            summary=summary[0] if summary else None,
            entries=[record(context_id, entry) for entry in entries],
        )

    async def entries(
        self,
        context_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        last: int | None = None,
        reverse: bool = False,
    ) -> AsyncGenerator[MessageEntry, None]:
        """Stream the stored messages with their positions, including compacted messages that were kept.

        Oldest first, or with `reverse` newest first, in constant memory. An older page is
        `entries(..., last=20, before=position)`: it costs a page, whatever the length of the conversation.

        Args:
            after, before: as in `get_messages`.
            last: only the newest so many of these. Without `reverse` they are held in memory together.
            reverse: the newest first.

        Raises:
            ConflictError: the conversation was deleted during the read.
        """
        stream = stream_name(KIND, "context_id", context_id)
        window = bounds(after=after, before=before, originals=True, last=last)
        async for entry in stream_entries(self._backend, stream, context_id, window, last=last, reverse=reverse):
            yield entry

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
            check_given(after=after)
            start, incarnation = max(after + 1, 0), None
        while True:
            head, entries = await self._backend.read(stream, Window(start=start, max_bytes=PAGE_BYTES))
            if head is not None and incarnation not in (None, head.incarnation):
                start, incarnation = 0, head.incarnation
                continue
            if head is not None:
                incarnation = head.incarnation
            else:
                start = 0  # what begins here from now on is new, wherever an earlier life had come to
            for entry in messages_of(entries):
                yield record(context_id, entry)
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
        return info_of(head).count if head else 0

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
        message: Message | None = await changes.pop(self._backend, context_id, op_id)
        return message

    async def replace_messages(
        self,
        context_id: str,
        messages: Iterable[AnyMessage],
        *,
        start: int,
        if_token: str | None = None,
        op_id: str | None = None,
        ttl: timedelta | None = None,
    ) -> range:
        """Put messages in the place of all from a position on, in one commit, and return their positions.

        The positions are new, as after a pop. With `start=0` the whole conversation is replaced, a summary included;
        metadata and expiry stay. Messages that others added meanwhile are replaced, too, unless `if_token` forbids it.

        Args:
            start: the first position to replace; a position of `entries` or `read`. Behind the last message nothing is
                replaced.
            if_token: as in `add_messages`: replace only the messages that were read under this token.
            op_id: as in `add_message`. A repeat replaces nothing and returns the first positions.
            ttl: as in `add_messages`.

        Raises:
            ConflictError: the token is outdated. Nothing was changed.
            InvalidError: `start` is inside the messages that a summary stands for, or a message is not a JSON object.
                Nothing was changed.
            UnavailableError: all may be replaced, or nothing. Repeat the call with the same op_id.
        """
        lasts = None if ttl is None else from_duration(ttl, "ttl")
        made = Change(encode_messages(messages), op_id=op_id, ttl=lasts)
        return await changes.replace(self._backend, context_id, made, start, if_token)

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
        return await changes.fork(self._backend, context_id, new_context_id, at, op_id)

    async def compact(
        self,
        context_id: str,
        *,
        keep_last: int,
        summary: Summary | None,
        drop: bool = False,
        belongs_to: BelongsTo | None = None,
    ) -> int:
        """Replace all but the newest messages by a summary, and return the position of the first message after it.

        `get_messages` then begins with the summary. Messages added meanwhile come behind it; none is lost. A tool call
        stays with its results: more messages are kept if needed. A call at the end without its result stays, too.

        Args:
            keep_last: the number of newest messages to keep.
            summary: the message, or a function (plain or async) of the older messages that returns it. An earlier
                summary is their first message. None: nothing stands for the older messages, and an earlier summary
                goes.
            drop: remove the older messages for good. Default: they stay, and `originals=True` reads them.
            belongs_to: as in `get_messages`.

        Raises:
            NotFoundError: the conversation does not exist.
            InvalidError: the summary is not a JSON object, or has over 64 KiB together with the metadata.
            ConflictError: the conversation was deleted or compacted meanwhile. Read again.
        """
        return await compact(self._backend, context_id, keep_last, summary, belongs_to, drop=drop)

    async def delete(self, context_id: str, *, if_token: str | None = None) -> None:
        """Remove a conversation for good. Deleting an unknown conversation does nothing.

        The next message begins it again at position 0. A writer stalled since before the delete adds nothing: its
        repeated op_id returns the first answer, and its `expect` or its page of `entries` is a ConflictError.

        Args:
            if_token: as in `add_messages`: delete only the state of this token.

        Raises:
            ConflictError: the token is outdated. Nothing was deleted.
            UnavailableError: it may be deleted. Without a token, repeat the call.
        """
        change = Change(delete=True)._replace(**conditions_of(if_token))
        await self._backend.commit(stream_name(KIND, "context_id", context_id), change)

    @overload
    async def contexts(
        self,
        *,
        prefix: str = ...,
        after: str | None = ...,
        limit: int = ...,
        order: Literal["recent", "id"] = ...,
        where: Mapping[str, Any] | None = ...,
        info: Literal[False] = ...,
    ) -> Page[ContextRef]: ...

    @overload
    async def contexts(
        self,
        *,
        prefix: str = ...,
        after: str | None = ...,
        limit: int = ...,
        order: Literal["recent", "id"] = ...,
        where: Mapping[str, Any] | None = ...,
        info: Literal[True],
    ) -> Page[ContextInfo]: ...

    async def contexts(
        self,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        order: Literal["recent", "id"] = "recent",
        where: Mapping[str, Any] | None = None,
        info: bool = False,
    ) -> Page[ContextRef] | Page[ContextInfo]:
        """List conversations, one page at a time, by recency or by id (in code points).

        By recency the conversation whose messages changed last comes first: a rename moves none to the top. While
        conversations change, a page by recency may miss or repeat one; pages by id show every conversation that existed
        throughout. A conversation with damaged data is left out, and `damaged` of the page names it.

        Args:
            prefix: the start of the ids.
            after: the `next` of the page before.
            where: metadata that the conversations must have: text of at most 500 bytes, numbers, booleans or None.
            info: list each conversation as `info` returns it, with count, metadata and times, in one listing.
        """
        query = (prefix, after, limit, order, where)
        return await self._contexts.infos(*query) if info else await self._contexts.refs(*query)

    async def info(self, context_id: str) -> ContextInfo | None:
        """Return a conversation without its messages; None for an unknown one."""
        return await self._contexts.info(context_id)

    async def set_metadata(self, context_id: str, metadata: Mapping[str, Any], *, if_token: str | None = None) -> None:
        """Replace the metadata of a conversation: a JSON object, returned by `info`.

        May come before the first message. `contexts(where=...)` finds its texts, numbers, booleans and None. Over 48
        KiB they are an entry of the conversation that is no message: it takes a position, and stays stored until a
        compaction drops it.

        Args:
            if_token: as in `add_messages`: set them only in the state of this token.

        Raises:
            ConflictError: the token is outdated. Nothing was set.
            InvalidError: it is not a JSON object, has over 64 MiB, or over 64 KiB of values that lists select by.
            UnavailableError: it may be set; then the token is outdated.
        """
        made = check_metadata(metadata)
        await self._contexts.change_metadata(context_id, lambda _: made, if_token)

    async def update_metadata(
        self, context_id: str, metadata: Mapping[str, Any], *, if_token: str | None = None
    ) -> dict[str, Any]:
        """Set some keys of the metadata, keep the others, and return all of them.

        Of two updates at once both are kept, if their keys differ. A value replaces the earlier value whole.

        Args:
            if_token: as in `set_metadata`.

        Raises:
            ConflictError: the token is outdated. Nothing was set.
            InvalidError: as in `set_metadata`.
            UnavailableError: they may be set; then the token is outdated. Without one, repeat the call.
        """
        changed = check_metadata(metadata)
        return await self._contexts.change_metadata(context_id, lambda known: {**known, **changed}, if_token)

    async def set_expiry(self, context_id: str, expires_at: datetime | None) -> None:
        """Let a conversation end at a moment, or with None never. From then on it is gone for every reader.

        Raises:
            NotFoundError: there is no such conversation.
        """
        await self._contexts.set_expiry(context_id, expires_at)
