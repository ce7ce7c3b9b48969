"""OpenAI Agents SDK: the tables of its four sessions, release 0.24.0.

`SQLiteSession`, `SQLAlchemySession` and `AdvancedSQLiteSession` share two tables. Items of an `EncryptedSession` over
one of them are in envelopes.
"""

from __future__ import annotations

from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.ids import joined
from stowfast.importing.grouping import grouped
from stowfast.importing.streams import conversation

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.envelopes import Envelopes
    from stowfast.importing.streams import Found, SourceStream
    from stowfast.importing.tables import Tables

__all__ = ["find_conversations"]

_MESSAGES: Final = ("id", "session_id", "message_data", "created_at")
_STRUCTURE: Final = ("id", "session_id", "message_id", "branch_id", "sequence_number")

# An index on the time is a mark of SQLAlchemySession, which reads in this order.
_BY_TIME: Final = "idx_{}_session_time"
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
_MESSAGES_OF: Final = (
    "SELECT s.message_id FROM message_structure s JOIN agent_messages m"
    " ON m.id = s.message_id AND m.session_id = s.session_id"
    " WHERE s.session_id = ? AND s.branch_id = ? ORDER BY s.sequence_number, s.id"
)
_MAIN: Final = "main"


def find_conversations(tables: Tables, envelopes: Envelopes) -> Generator[Found]:
    """Yield each session as a conversation, and each other branch as one of its own below it.

    Raises:
        InvalidError: these are no tables of the SDK.
    """
    tables.check("agent_messages", _MESSAGES)
    if _has_branches(tables):
        tables.check("message_structure", _STRUCTURE)
        yield from grouped(tables.rows(_BRANCHES), 2, partial(_branch, tables, envelopes))
        query = _WITHOUT_BRANCHES
    else:
        by_time = _BY_TIME.format(tables.name_of("agent_messages"))
        query = _ORDERED_BY_TIME if tables.has_index(by_time) else _ORDERED
    yield from grouped(tables.rows(query), 1, partial(_session, envelopes))


def _has_branches(tables: Tables) -> bool:
    """Tell whether there is a structure of these messages: one file may have other tables of messages, too."""
    owner = tables.reference("message_structure", "message_id")
    mine = owner is None or owner.lower() == tables.name_of("agent_messages").lower()
    return mine and tables.has("message_structure")


def _session(envelopes: Envelopes, session: str, rows: Iterator[tuple[Any, ...]]) -> SourceStream:
    return conversation(joined(session), rows, read=envelopes.reader(session))


def _branch(
    tables: Tables, envelopes: Envelopes, session: str, branch: str, rows: Iterator[tuple[Any, ...]]
) -> SourceStream:
    if branch == _MAIN:
        return _session(envelopes, session, rows)
    # A branch has the messages of another one up to where it leaves it, under the same ids.
    both = zip(tables.rows(_MESSAGES_OF, session, branch), tables.rows(_MESSAGES_OF, session, _MAIN), strict=False)
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))
    facts = {"forked_from": session, "branch": branch, "at": at}
    return conversation(joined(session, "branches", branch), rows, facts, read=envelopes.reader(session))
