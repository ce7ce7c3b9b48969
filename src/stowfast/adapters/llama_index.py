"""LlamaIndex: the chat history of `Memory` in any backend. `pip install 'stowfast[llama-index]'`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from stowfast.adapters.closing import WithAclose
from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError, InvalidError
from stowfast.stores.optimistic import Race

with extra("llama-index"):
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast import sync
    from stowfast.records import ConversationSlice, MessageEntry
    from stowfast.stores import Stores
    from stowfast.stores.messages.store import Messages

__all__ = ["StowfastChatStore"]

_ROOT: Final = "llama-index"
_ARCHIVED: Final = "archived"
"""In the metadata: all messages below this position are archived. In a message: this one is."""
_HASHED: Final = "%-"
_PAGE: Final = 1_000


class StowfastChatStore(WithAclose, AsyncDBChatStore):
    """LlamaIndex's chat store in memory, a SQLite file, a bucket or PostgreSQL: `Memory.from_defaults(chat_store=...)`.

    A key is a conversation. Each call is one commit: it is stored wholly or not at all, also where it replaces,
    archives or deletes, and it was stored durably when it returns. A lost answer stays inside. Two processes add to one
    key without a loss, and never archive or delete the same message twice.

    Archived messages stay readable, by their status. To archive costs a small commit, whatever the number of messages.
    A delete in the middle writes the messages behind it anew.

    Args:
        stores: a URL, or open stores of either face.
        scope: the scope of these stores to use.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    _opener: Opener = PrivateAttr()

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        super().__init__()
        self._opener = Opener(stores, scope=scope, within=within, **options)

    @classmethod
    def class_name(cls) -> str:
        """Return the name of this class."""
        return "StowfastChatStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Return the messages of a key, oldest first; with status None those of both. An unknown key has none.

        Raises:
            InvalidError: the limit or the offset is negative, or the key is none.
            DamagedError: a stored message is none of LlamaIndex.
        """
        first = offset or 0
        if first < 0 or (limit is not None and limit < 0):
            raise InvalidError(f"limit={limit}, offset={offset}: neither may be negative")
        found = await self._entries(key, status)
        return [_message(one) for one in found[first : None if limit is None else first + limit]]

    async def count_messages(self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE) -> int:
        """Return the number of messages of a key."""
        if status is None:
            return await (await self._messages()).count(_context_id(key))
        return len(await self._entries(key, status))

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE) -> None:
        """Add a message at the end.

        Raises:
            InvalidError: JSON cannot store the message, or the key has over 250 bytes. Nothing was stored.
            UnavailableError: no answer. It may be stored.
        """
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: Sequence[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages at the end, all or none."""
        stored = [_stored(message, status) for message in messages]
        if stored:
            await (await self._messages()).add_messages(_context_id(key), stored)

    async def set_messages(
        self, key: str, messages: Sequence[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Put messages in the place of all of a key, archived ones included, in one commit."""
        context_id, stored = _context_id(key), [_stored(message, status) for message in messages]
        if stored:
            await (await self._messages()).replace_messages(context_id, stored, start=0)
        else:
            await (await self._messages()).delete(context_id)

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Remove an active message for good, and return it; None if there is none with this index.

        Args:
            key: the conversation.
            idx: the index among the active messages, 0 for the oldest.
        """
        removed = await self._remove(
            key, lambda entries: entries[idx : idx + 1] if idx >= 0 else [], MessageStatus.ACTIVE
        )
        return removed[0] if removed else None

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Remove the messages with a status, or without one all messages, for good."""
        if status is None:
            await (await self._messages()).delete(_context_id(key))
        else:
            await self._remove(key, lambda entries: entries, status)

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Remove the oldest n active messages for good, and return them."""
        return await self._remove(key, lambda entries: entries[: max(n, 0)], MessageStatus.ACTIVE)

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest n active messages, and return them.

        Of two callers at once each archives messages of its own.
        """
        messages, context_id, race = await self._messages(), _context_id(key), Race(f"the messages of {key!r}")
        while True:
            found = await messages.read(context_id, originals=True)
            chosen = [one for one in found.entries if not _is_archived(one, found)][: max(n, 0)]
            if found.info is None or not chosen:
                return []
            try:
                metadata = {**found.info.metadata, _ARCHIVED: chosen[-1].position + 1}
                await messages.set_metadata(context_id, metadata, if_token=found.info.token)
            except ConflictError:
                race.lose()
            else:
                return [_message(one) for one in chosen]

    async def get_keys(self) -> list[str]:
        """Return the keys that have messages, sorted by their stored ids."""
        messages, prefix = await self._messages(), joined(_ROOT, "")
        keys: list[str] = []
        after: str | None = None
        while True:
            page = await messages.contexts(prefix=prefix, order="id", after=after, limit=_PAGE)
            keys += [unquote(one.context_id.removeprefix(prefix), errors="surrogatepass") for one in page]
            after = page.next
            if after is None:
                return keys

    async def _messages(self) -> Messages:
        return (await self._opener.open()).messages

    async def _entries(self, key: str, status: MessageStatus | None) -> list[MessageEntry]:
        """Return the entries with a status. Those of the archive are not read for the active ones."""
        messages, context_id = await self._messages(), _context_id(key)
        start = 0
        if status == MessageStatus.ACTIVE:
            info = await messages.info(context_id)
            start = 0 if info is None else _border(info.metadata)
        while True:
            found = await messages.read(context_id, after=start - 1 if start else None, originals=True)
            if found.info is None or start <= _border(found.info.metadata):
                break
            start = _border(found.info.metadata)  # deleted and begun again between the two reads
        return [one for one in found.entries if status in (None, _status(one, found))]

    async def _remove(
        self, key: str, choose: Callable[[list[MessageEntry]], list[MessageEntry]], status: MessageStatus
    ) -> list[ChatMessage]:
        """Remove some of the entries with a status in one commit, and return their messages."""
        messages, context_id, race = await self._messages(), _context_id(key), Race(f"the messages of {key!r}")
        while True:
            found = await messages.read(context_id, originals=True)
            removed = choose([one for one in found.entries if _status(one, found) == status])
            if found.info is None or not removed:
                return []
            gone, start = {one.position for one in removed}, removed[0].position
            kept = [
                {**one.message, _ARCHIVED: True} if _is_archived(one, found) else one.message
                for one in found.entries
                if one.position >= start and one.position not in gone
            ]
            try:
                if len(gone) == len(found.entries):
                    await messages.delete(context_id, if_token=found.info.token)
                else:
                    await messages.replace_messages(context_id, kept, start=start, if_token=found.info.token)
            except ConflictError:
                race.lose()
            else:
                return [_message(one) for one in removed]


def _context_id(key: str) -> str:
    context_id = joined(_ROOT, key)
    if _HASHED in context_id:
        raise InvalidError(f"the key {key[:60]!r}... has over 250 bytes when percent-encoded: give a shorter one")
    return context_id


def _border(metadata: dict[str, Any]) -> int:
    return int(metadata.get(_ARCHIVED, 0))


def _is_archived(entry: MessageEntry, found: ConversationSlice) -> bool:
    below = found.info is not None and entry.position < _border(found.info.metadata)
    return below or _ARCHIVED in entry.message


def _status(entry: MessageEntry, found: ConversationSlice) -> MessageStatus:
    return MessageStatus.ARCHIVED if _is_archived(entry, found) else MessageStatus.ACTIVE


def _stored(message: ChatMessage, status: MessageStatus) -> dict[str, Any]:
    dumped = message.model_dump(mode="json")
    return {**dumped, _ARCHIVED: True} if status == MessageStatus.ARCHIVED else dumped


def _message(entry: MessageEntry) -> ChatMessage:
    with decoding(f"the message at position {entry.position}"):
        return ChatMessage.model_validate({name: value for name, value in entry.message.items() if name != _ARCHIVED})
