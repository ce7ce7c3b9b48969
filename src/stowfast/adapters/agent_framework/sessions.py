"""`StowfastSessionStore`: the sessions of Agent Framework."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.closing import WithAclose
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.plain_json import to_json

with extra("agent-framework"):
    from agent_framework import AgentSession, SessionStore

if TYPE_CHECKING:
    from stowfast import sync
    from stowfast.stores import Stores

__all__ = ["StowfastSessionStore"]

_ROOT: Final = "agent-framework-sessions"


class StowfastSessionStore(WithAclose, SessionStore):
    """Sessions of Agent Framework in memory, a SQLite file, a bucket or PostgreSQL.

    A session is a document, written whole in one commit and stored durably when `set` returns. The last writer wins, as
    in the framework's own stores. A lost answer stays inside. Types of the state are restored if they were registered
    with `register_state_type`.

    Args:
        stores: a URL, or open stores of either face.
        ttl: a session is gone so long after its last `set`; None: never.
        scope: the scope of these stores to use.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        ttl: timedelta | None = None,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        super().__init__()
        self._ttl = ttl
        self._opener = Opener(stores, scope=scope, within=within, **options)

    async def get(self, session_id: str) -> AgentSession | None:
        """Return a session of its own for each call; None for an unknown one.

        Raises:
            ValueError: the id is empty or no text, or a registered type cannot be restored.
        """
        self.validate_session_id(session_id)
        document = await (await self._opener.open()).documents.get(joined(_ROOT, session_id))
        return None if document is None else AgentSession.from_dict(document.data)

    async def set(self, session_id: str, session: AgentSession) -> None:
        """Store a session under an id, in the place of an earlier one.

        Raises:
            TypeError: the session is of another class.
            ValueError: the id is empty or no text, or JSON cannot store a value of the state. Nothing was stored.
            UnavailableError: no answer. It may be stored.
        """
        self.validate_session_id(session_id)
        if type(session) is not AgentSession:
            raise TypeError(f"a session store keeps an AgentSession, not a {type(session).__name__}")
        data = to_json(session.to_dict())
        await (await self._opener.open()).documents.put(joined(_ROOT, session_id), data, ttl=self._ttl)

    async def delete(self, session_id: str) -> None:
        """Remove a session for good. An unknown one is fine.

        Raises:
            ValueError: the id is empty or no text.
        """
        self.validate_session_id(session_id)
        await (await self._opener.open()).documents.delete(joined(_ROOT, session_id))
