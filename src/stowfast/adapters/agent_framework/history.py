"""`StowfastHistoryProvider`: the messages of an agent's sessions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from stowfast.adapters.closing import WithAclose
from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError
from stowfast.plain_json import to_json
from stowfast.stores.optimistic import Race

with extra("agent-framework"):
    from agent_framework import HistoryProvider, Message
    from agent_framework._sessions import filter_new_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast import sync
    from stowfast.stores import Stores

__all__ = ["StowfastHistoryProvider"]

_ROOT: Final = "agent-framework"


class StowfastHistoryProvider(WithAclose, HistoryProvider):
    """The history of Agent Framework in memory, a SQLite file, a bucket or PostgreSQL.

    A session is a conversation; each save is one commit, stored durably when it returns. A save that replays the
    transcript adds only the new messages, by the framework's own rule, and against exactly the messages that it adds
    them to: so two processes on one session lose and double nothing. A lost answer stays inside.

    Args:
        stores: a URL, or open stores of either face.
        source_id: the name of this provider; each has a history of its own.
        load_messages, store_inputs, store_context_messages, store_context_from, store_outputs: as in
            `HistoryProvider`.
        skip_excluded: leave out messages that a compaction has marked as excluded.
        scope: the scope of these stores to use.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    DEFAULT_SOURCE_ID: ClassVar[str] = "stowfast"

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        source_id: str = DEFAULT_SOURCE_ID,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
        skip_excluded: bool = False,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        super().__init__(
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        self.skip_excluded = skip_excluded
        self._opener = Opener(stores, scope=scope, within=within, **options)

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """Return the messages of a session, oldest first; none for an unknown one. None is a session of its own.

        Raises:
            DamagedError: a stored message is none of the framework.
        """
        stored = await (await self._opener.open()).messages.get_messages(self._context_id(session_id))
        messages = _messages(stored)
        return [one for one in messages if not (self.skip_excluded and one.additional_properties.get("_excluded"))]

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the messages that the session does not have, all or none.

        Raises:
            InvalidError: JSON cannot store a message. Nothing was stored.
            UnavailableError: no answer. They may be stored; a repeat of the same messages adds nothing.
        """
        if not messages:
            return
        store, context_id, race = (await self._opener.open()).messages, self._context_id(session_id), Race("a session")
        while True:
            # The rule compares at most as many stored messages as are given, and asks whether there are more.
            found = await store.read(context_id, last=len(messages) + 1)
            new = filter_new_messages(_messages(found.messages), messages)
            if not new:
                return
            stored = [to_json(message.to_dict()) for message in new]
            try:
                if found.info is None:
                    await store.add_messages(context_id, stored, expect=0)
                else:
                    await store.add_messages(context_id, stored, if_token=found.info.token)
            except ConflictError:
                race.lose()
            else:
                return

    async def delete(self, session_id: str | None) -> None:
        """Remove the history of a session for good. An unknown one is fine."""
        await (await self._opener.open()).messages.delete(self._context_id(session_id))

    def _context_id(self, session_id: str | None) -> str:
        named = () if session_id is None else (session_id,)
        return joined(_ROOT, self.source_id, *named)


def _messages(stored: Sequence[dict[str, Any]]) -> list[Message]:
    with decoding("the history of a session"):
        return [Message.from_dict(one) for one in stored]
