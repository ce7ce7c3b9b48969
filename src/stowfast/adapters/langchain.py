"""LangChain: a chat message history over any backend.

    history = StowfastChatMessageHistory("user-42", "sqlite:///agent.db")
    history.add_messages([HumanMessage("hello"), AIMessage("hi")])

Source of the interface: `langchain_core.chat_history.BaseChatMessageHistory`, release 1.8.3.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stowfast.adapters.closing import WithBothCloses
from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import InvalidError
from stowfast.plain_json import to_json

with extra("langchain"):
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.messages import message_to_dict, messages_from_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from stowfast import sync
    from stowfast.stores import Stores

__all__ = ["StowfastChatMessageHistory"]


class StowfastChatMessageHistory(WithBothCloses, BaseChatMessageHistory):
    """The messages of one session, as dumps of `message_to_dict` in the conversation with the session's id.

    Messages that were added are stored, once and in order, in every process, also after a crash: all messages of a
    call, or none. A lost answer is repeated inside. Both faces work on one opening: the plain methods in any thread,
    also inside a running event loop, and their twins with an `a`. A twin that was cancelled has made its change wholly
    or not at all.

    Args:
        session_id: the id of the conversation, in `messages` with `/`, `%` and the like percent-encoded.
        stores: a URL, or open stores of either face.
        scope: the scope of the stores to use, such as a tenant.
        ttl: the session ends so long after the last messages that were added. None: never.
        within: the time for repeats of a call without an answer.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores.
    """

    def __init__(
        self,
        session_id: str,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        ttl: timedelta | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        super().__init__()
        self.session_id = session_id
        self.ttl = ttl
        self._context_id = joined(session_id)
        self._opener = Opener(stores, scope=scope, within=within, **options)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first. Each access reads them.

        Raises:
            DamagedError: a stored message is none of LangChain.
            UnavailableError: no answer for the time of `within`.
        """
        return self._messages(self._opener.open_sync().messages.get_messages(self._context_id))

    async def aget_messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first.

        Raises:
            DamagedError: a stored message is none of LangChain.
            UnavailableError: no answer for the time of `within`.
        """
        stores = await self._opener.open()
        return self._messages(await stores.messages.get_messages(self._context_id))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end: all or none.

        Raises:
            InvalidError: a message has no JSON form, or LangChain cannot make it from its dump. Nothing was stored.
            UnavailableError: no answer for the time of `within`. The messages may be stored: read before you add again.
        """
        if dumps := _dumps(messages):
            self._opener.open_sync().messages.add_messages(self._context_id, dumps, ttl=self.ttl)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As `add_messages`."""
        if dumps := _dumps(messages):
            stores = await self._opener.open()
            await stores.messages.add_messages(self._context_id, dumps, ttl=self.ttl)

    def clear(self) -> None:
        """Delete the session.

        Raises:
            UnavailableError: no answer for the time of `within`. The session may be deleted: call it again.
        """
        self._opener.open_sync().messages.delete(self._context_id)

    async def aclear(self) -> None:
        """As `clear`."""
        stores = await self._opener.open()
        await stores.messages.delete(self._context_id)

    def _messages(self, dumps: list[dict[str, Any]]) -> list[BaseMessage]:
        with decoding(f"the conversation {self._context_id!r}"):
            return messages_from_dict(dumps)


def _dumps(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    dumps: list[dict[str, Any]] = [to_json(message_to_dict(message)) for message in messages]
    try:
        messages_from_dict(dumps)
    except (ValueError, TypeError) as error:  # once stored, it would fail every read of the session
        raise InvalidError(f"a message cannot be made from its dump: {error}") from error
    return dumps
