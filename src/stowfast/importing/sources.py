"""The kinds of sources, and the opening of a source."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.importing.buckets import open_bucket
from stowfast.importing.folders import Folder
from stowfast.importing.tables import open_sqlite

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import ExitStack

    from stowfast.importing.streams import Found
    from stowfast.importing.tables import Tables

__all__ = ["KINDS", "open_source"]

KINDS: Final[Mapping[str, str]] = {
    "google-adk": "sessions of Google ADK, of SqliteSessionService or DatabaseSessionService",
    "langchain": "SQLChatMessageHistory of LangChain",
    "langgraph": "checkpoints of LangGraph, of SqliteSaver or PostgresSaver",
    "openai-agents": "sessions of the OpenAI Agents SDK",
    "strands": "sessions of Strands Agents, of FileSessionManager or S3SessionManager",
}
"""The kinds of sources, and the content of each."""
_SQLITE: Final = ("sqlite:///", "sqlite+aiosqlite:///", "sqlite+pysqlite:///")
_POSTGRES: Final = ("postgresql:", "postgres:", "postgresql+")


def open_source(kind: str, source: str, stack: ExitStack) -> Generator[Found]:
    """Return the streams of a source. The stack closes it.

    Raises:
        InvalidError: the kind is unknown, or the source is not of this kind.
        UnavailableError: the source cannot be opened.
    """
    if kind not in KINDS:
        raise InvalidError(f"kind={kind!r}: it is one of {', '.join(KINDS)}")
    if kind == "strands":
        from stowfast.importing.strands import find_sessions

        return find_sessions(open_bucket(source) if source.startswith("s3://") else Folder(Path(source)))
    module: Any = import_module(f"stowfast.importing.{kind.replace('-', '_')}")
    found: Generator[Found] = module.find_conversations(_tables(source, stack))
    return found


def _tables(source: str, stack: ExitStack) -> Tables:
    if source.startswith(_POSTGRES):
        from stowfast.importing.postgres_tables import open_postgres

        return stack.enter_context(open_postgres(source))
    for scheme in _SQLITE:
        source = source.removeprefix(scheme)
    if "://" in source:
        raise InvalidError("the source is a SQLite file, or a URL that begins with postgresql://")
    return stack.enter_context(open_sqlite(Path(source)))
