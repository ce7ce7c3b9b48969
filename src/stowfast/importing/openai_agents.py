"""OpenAI Agents SDK: the tables of its four sessions, release 0.24.0.

`SQLiteSession`, `SQLAlchemySession` and `AdvancedSQLiteSession` share two tables. The items of an `EncryptedSession`
are imported encrypted as they are: an `EncryptedSession` over `StowfastSession` reads them with the same key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.ids import joined
from stowfast.importing.grouping import grouped
from stowfast.importing.streams import conversation

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.streams import Found, SourceStream
    from stowfast.importing.tables import Tables

__all__ = ["find_conversations"]

_MESSAGES: Final = ("id", "session_id", "message_data", "created_at")
_STRUCTURE: Final = ("id", "session_id", "message_id", "branch_id", "sequence_number")

# An index on the time is a mark of SQLAlchemySession, which reads in this order.
_BY_TIME: Final = "idx_agent_messages_session_time"
_ORDERED_BY_TIME: Final = (
    "SELECT session_id, created_at, message_data FROM agent_messages ORDER BY session_id, created_at, id"
)
_ORDERED: Final = "SELECT session_id, created_at, message_data FROM agent_messages ORDER BY session_id, id"
_WITHOUT_BRANCHES: Final = (
    "SELECT session_id, created_at, message_data FROM agent_messages"
    " WHERE session_id NOT IN (SELECT session_id FROM message_structure) ORDER BY session_id, id"
)
_BRANCHES: Final = (
    "SELECT s.session_id, s.branch_id, m.created_at, m.message_data"
    " FROM message_structure s JOIN agent_messages m ON m.id = s.message_id AND m.session_id = s.session_id"
    " ORDER BY s.session_id, s.branch_id, s.sequence_number, s.id"
)
_MAIN: Final = "main"


def find_conversations(tables: Tables) -> Generator[Found]:
    """Yield each session as a conversation, and each other branch as one of its own below it.

    Raises:
        InvalidError: these are no tables of the SDK.
    """
    tables.check("agent_messages", _MESSAGES)
    if tables.has("message_structure"):
        tables.check("message_structure", _STRUCTURE)
        yield from grouped(tables.rows(_BRANCHES), 2, _branch)
        query = _WITHOUT_BRANCHES
    else:
        query = _ORDERED_BY_TIME if tables.has_index(_BY_TIME) else _ORDERED
    yield from grouped(tables.rows(query), 1, _session)


def _session(session: str, rows: Iterator[tuple[Any, ...]]) -> SourceStream:
    return conversation(joined(session), rows)


def _branch(session: str, branch: str, rows: Iterator[tuple[Any, ...]]) -> SourceStream:
    if branch == _MAIN:
        return _session(session, rows)
    return conversation(joined(session, "branches", branch), rows, {"forked_from": session, "branch": branch})
