"""Conversations as wholes: their list, metadata and expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.abc import Change
from stowfast.blocking import outcomes
from stowfast.errors import DamagedError, NotFoundError, StowfastError
from stowfast.records import ContextInfo, ContextRef, Page
from stowfast.stores.codec import from_time, stream_name, to_time
from stowfast.stores.labels import wanted_labels
from stowfast.stores.listing import list_query, read_listed
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.messages.metadata import change_of, current
from stowfast.stores.messages.token import conditions_of, token_of
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from stowfast.abc import Backend, Head, Listed, Listing

__all__ = ["KIND", "Contexts", "info_of"]

KIND: Final = "messages"


class Contexts:
    """Conversations without their messages."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def refs(self, *query: Any) -> Page[ContextRef]:
        """List conversations, one page at a time."""
        found = await self._listing(*query, heads=False)
        refs, damaged = read_listed(
            KIND,
            found.streams,
            lambda one: ContextRef(one.name.removeprefix(f"{KIND}/"), to_time(one.updated_at, one.name)),
        )
        return Page(refs, found.after, damaged)

    async def infos(self, *query: Any) -> Page[ContextInfo]:
        """List what is known of conversations, one page at a time."""
        found = await self._listing(*query, heads=True)
        large = [one.head for one in found.streams if one.head is not None and _is_spilled(one.head)]
        loaded = dict(zip([head.name for head in large], await outcomes(map(self._whole, large)), strict=True))

        def read(listed: Listed) -> ContextInfo | None:
            info = loaded.get(listed.name)
            if isinstance(info, StowfastError):
                raise info
            return info if listed.name in loaded or listed.head is None else info_of(listed.head)

        infos, damaged = read_listed(KIND, found.streams, read)
        return Page(infos, found.after, damaged)

    async def _whole(self, head: Head) -> ContextInfo | None:
        return await self.info(head.name.removeprefix(f"{KIND}/"))

    async def _listing(
        self,
        prefix: str,
        after: str | None,
        limit: int,
        order: Literal["recent", "id"],
        where: Mapping[str, Any] | None,
        *,
        heads: bool,
    ) -> Listing:
        query = list_query(KIND, prefix, wanted_labels(where), order, after, limit)
        return await self._backend.streams(query._replace(heads=heads))

    async def info(self, context_id: str) -> ContextInfo | None:
        """Return a conversation without its messages; None for an unknown one."""
        head, metadata = await current(self._backend, stream_name(KIND, "context_id", context_id))
        return None if head is None else info_of(head, metadata)

    async def change_metadata(
        self, context_id: str, change: Callable[[dict[str, Any]], dict[str, Any]], if_token: str | None
    ) -> dict[str, Any]:
        """Set the metadata that a function makes of the metadata so far, and return it."""
        stream = stream_name(KIND, "context_id", context_id)
        held = conditions_of(if_token)
        race = Race(f"conversation {context_id!r}")
        while True:
            head, known = await current(self._backend, stream)
            metadata = change(known)
            made = change_of(metadata, head)
            # Large metadata are an entry, whose time is that of the conversation.
            made = made._replace(quiet=not made.entries)._replace(**held)
            if held:
                await self._backend.commit(stream, made)
            if held or await race.commit(self._backend, stream, made) is not None:
                return metadata

    async def set_expiry(self, context_id: str, expires_at: datetime | None) -> None:
        """Let a conversation end at a moment, or never."""
        stream = stream_name(KIND, "context_id", context_id)
        moment = None if expires_at is None else from_time(expires_at, "expires_at")
        head = (await self._backend.heads([stream]))[0]
        if head is None:
            raise NotFoundError(f"there is no conversation {context_id!r}")
        await self._backend.commit(stream, Change(expires_at=moment, incarnation=head.incarnation, quiet=True))


def info_of(head: Head, metadata: dict[str, Any] | None = None) -> ContextInfo:
    """Return what a head says of its conversation.

    Args:
        metadata: None: those of the head.
    """
    note = ConversationNote.read(head)
    return ContextInfo(
        context_id=head.name.removeprefix(f"{KIND}/"),
        count=head.length - len(note.hidden),
        next_position=head.next,
        compacted=head.base,
        metadata=note.metadata if metadata is None else metadata,
        created_at=to_time(head.created_at),
        updated_at=to_time(head.updated_at),
        expires_at=None if head.expires_at is None else to_time(head.expires_at),
        incarnation=head.incarnation,
        token=token_of(head),
    )


def _is_spilled(head: Head) -> bool:
    try:
        return ConversationNote.read(head).spilled is not None
    except DamagedError:
        return False
