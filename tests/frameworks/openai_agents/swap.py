"""Puts Stowfast in the place of the SDK's two SQLite sessions."""

from __future__ import annotations

import atexit
import uuid
from typing import Any

import agents
import agents.extensions.memory.async_sqlite_session as asynchronous

# Loaded before the swap: its special path for the class `SQLiteSession` is not for sessions of others.
import agents.extensions.memory.encrypt_session
import agents.memory
import agents.memory.sqlite_session as synchronous
from swapping import fresh_url

from stowfast import sync
from stowfast.adapters.openai_agents import StowfastSession

_stores = sync.open(fresh_url())
atexit.register(_stores.close)
_scopes: dict[str, str] = {}


class _SwappedSession(StowfastSession):
    """One scope for each file; a session in memory has a scope of its own."""

    def __init__(
        self,
        session_id: str,
        db_path: Any = ":memory:",
        sessions_table: str = "agent_sessions",
        messages_table: str = "agent_messages",
        session_settings: Any = None,
    ) -> None:
        scope = uuid.uuid4().hex
        if str(db_path) != ":memory:":
            scope = _scopes.setdefault(f"{db_path} {messages_table}", scope)
        self.db_path = db_path
        super().__init__(session_id, _stores, session_settings=session_settings, scope=scope)


class SwappedSQLiteSession(_SwappedSession):
    def close(self) -> None:  # type: ignore[override]
        self._opener.close_sync()


class SwappedAsyncSQLiteSession(_SwappedSession):
    pass


for module in (agents, agents.memory, synchronous):
    setattr(module, "SQLiteSession", SwappedSQLiteSession)  # noqa: B010 - for a type checker another class is an error
setattr(asynchronous, "AsyncSQLiteSession", SwappedAsyncSQLiteSession)  # noqa: B010
