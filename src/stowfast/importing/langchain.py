"""LangChain: the table of `SQLChatMessageHistory`, release 0.4.2 of `langchain-community`. It has no times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.adapters.ids import joined
from stowfast.importing.grouping import grouped
from stowfast.importing.streams import conversation

if TYPE_CHECKING:
    from collections.abc import Generator

    from stowfast.importing.streams import Found
    from stowfast.importing.tables import Tables

__all__ = ["find_conversations"]

_ROWS: Final = "SELECT session_id, NULL, message FROM message_store ORDER BY session_id, id"


def find_conversations(tables: Tables) -> Generator[Found]:
    """Yield each session as a conversation.

    Raises:
        InvalidError: this is no table of LangChain.
    """
    tables.check("message_store", ("id", "session_id", "message"))
    yield from grouped(tables.rows(_ROWS), 1, lambda session, rows: conversation(joined(session), rows))
