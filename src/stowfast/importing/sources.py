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
    "agno": "sessions and runs of Agno, of SqliteDb or PostgresDb",
    "google-adk": "sessions of Google ADK, of SqliteSessionService or DatabaseSessionService",
    "langchain": "SQLChatMessageHistory of LangChain",
    "langgraph": "checkpoints of LangGraph, of SqliteSaver or PostgresSaver",
    "looopy": "the files of looopy",
    "openai-agents": "sessions of the OpenAI Agents SDK",
    "pydantic-ai-harness": "conversations and steps of the Pydantic AI harness, of its SQLite stores",
    "strands": "sessions of Strands Agents, of FileSessionManager or S3SessionManager",
}
"""The kinds of sources, and the content of each."""
_FOLDERS: Final = frozenset({"looopy", "strands"})
"""The kinds that are folders of files."""
_SCHEMAS: Final[Mapping[str, str]] = {"agno": "ai"}
"""Schemas in which a library makes its tables of PostgreSQL, unless it is told another one."""
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
    module: Any = import_module(f"stowfast.importing.{kind.replace('-', '_')}")
    found: Generator[Found]
    if kind in _FOLDERS:
        found = module.find_sessions(open_bucket(source) if source.startswith("s3://") else Folder(Path(source)))
    else:
        found = module.find_conversations(_tables(source, stack, _SCHEMAS.get(kind, "")))
    return found


def _tables(source: str, stack: ExitStack, schema: str) -> Tables:
    if source.startswith(_POSTGRES):
        from stowfast.importing.postgres_tables import open_postgres

        return stack.enter_context(open_postgres(source, schema))
    for scheme in _SQLITE:
        source = source.removeprefix(scheme)
    if "://" in source:
        raise InvalidError("the source is a SQLite file, or a URL that begins with postgresql://")
    return stack.enter_context(open_sqlite(Path(source)))
