"""Conversations as wholes: their list, metadata and expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.abc import Change, Query
from stowfast.errors import InvalidError, NotFoundError
from stowfast.records import ContextInfo, ContextRef, Page
from stowfast.stores.codec import check_counts, encode, from_time, stream_name, to_time
from stowfast.stores.labels import metadata_labels, wanted_labels
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from datetime import datetime

    from stowfast.abc import Backend

__all__ = ["KIND", "Contexts"]

KIND: Final = "messages"


class Contexts:
    """Conversations without their messages."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def page(
        self,
        prefix: str,
        after: str | None,
        limit: int,
        order: Literal["recent", "id"],
        where: dict[str, Any] | None,
    ) -> Page[ContextRef]:
        """List conversations, one page at a time."""
        if order not in ("recent", "id"):
            raise InvalidError(f"order={order!r}: it is recent or id")
        check_counts(limit=limit)
        if prefix:
            stream_name(KIND, "prefix", prefix)  # what no id can be, no id begins with either
        before = f"{KIND}/"
        found, following = await self._backend.streams(
            Query(
                before + prefix,
                where=wanted_labels(where),
                order="name" if order == "id" else "recent",
                after=after,
                limit=limit,
            ),
        )
        contexts = [ContextRef(one.name.removeprefix(before), to_time(one.updated_at)) for one in found]
        return Page(contexts, following)  # a cursor is the place's own: only it knows what is in there

    async def info(self, context_id: str) -> ContextInfo | None:
        """Return a conversation without its messages; None for an unknown one."""
        head = (await self._backend.heads([stream_name(KIND, "context_id", context_id)]))[0]
        if head is None:
            return None
        return ContextInfo(
            context_id=context_id,
            count=head.length,
            next_position=head.next,
            compacted=head.base,
            metadata=ConversationNote.read(head).metadata,
            created_at=to_time(head.created_at),
            updated_at=to_time(head.updated_at),
            expires_at=None if head.expires_at is None else to_time(head.expires_at),
            incarnation=head.incarnation,
        )

    async def set_metadata(self, context_id: str, metadata: dict[str, Any]) -> None:
        """Replace the metadata of a conversation."""
        stream = stream_name(KIND, "context_id", context_id)
        if not isinstance(metadata, dict):
            raise InvalidError(f"metadata must be a dict, not {type(metadata).__name__}")
        encode(metadata, "metadata")
        race = Race(f"conversation {context_id!r}")
        while True:
            head = (await self._backend.heads([stream]))[0]
            change = Change(
                note=ConversationNote.read(head)._replace(metadata=metadata).write(),
                labels=metadata_labels(metadata),
                revision=head.revision if head else 0,
                incarnation=head.incarnation if head else None,
            )
            if await race.commit(self._backend, stream, change) is not None:
                return

    async def set_expiry(self, context_id: str, expires_at: datetime | None) -> None:
        """Let a conversation end at a moment, or never."""
        stream = stream_name(KIND, "context_id", context_id)
        moment = None if expires_at is None else from_time(expires_at, "expires_at")
        head = (await self._backend.heads([stream]))[0]
        if head is None:
            raise NotFoundError(f"there is no conversation {context_id!r}")
        await self._backend.commit(stream, Change(expires_at=moment, incarnation=head.incarnation))
