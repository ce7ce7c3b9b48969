"""The kinds of sources, and the opening of a source."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.first_use import imported
from stowfast.importing.envelopes import Envelopes
from stowfast.importing.folders import Folder
from stowfast.importing.tables import open_sqlite
from stowfast.names import is_one_of, path_text
from stowfast.registry import find

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import ExitStack

    from stowfast.importing.buckets import Bucket
    from stowfast.importing.options import SourceOptions
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
    "strands": "sessions of Strands Agents, of FileSessionManager, S3SessionManager or SnapshotSessionManager",
}
"""The kinds of sources, and the content of each."""
_FOLDERS: Final[Mapping[str, str]] = {"looopy": "agent=", "strands": "session_"}
"""The kinds that are folders of files, and the beginnings of the names in them."""
_SNAPSHOTS: Final[Mapping[str, str]] = {"strands": "session"}
"""The name of another folder that may stand there alone."""
_SCHEMAS: Final[Mapping[str, str]] = {"agno": "ai"}
"""Schemas in which a library makes its tables of PostgreSQL, unless it is told another one."""
_BUCKETS: Final = ("s3", "gs", "az")
_SQLITE: Final = ("sqlite:///", "sqlite+aiosqlite:///", "sqlite+pysqlite:///")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # one letter is a drive of Windows
_POSTGRES: Final = ("postgresql:", "postgres:", "postgresql+")
_LONGEST: Final = max(map(len, _POSTGRES))


def open_source(kind: str, source: str, options: SourceOptions, stack: ExitStack) -> Generator[Found]:
    """Return the streams of a source. The stack closes it.

    Raises:
        InvalidError: the kind is unknown or has no such option, or the source is not of this kind.
        UnavailableError: the source cannot be opened.
    """
    if not is_one_of(kind, tuple(KINDS)):
        raise InvalidError(f"kind: it is one of {', '.join(KINDS)}")
    options.check(kind)
    module = f"stowfast.importing.{kind.replace('-', '_')}"
    found: Generator[Found]
    if kind in _FOLDERS:
        folder = _folder(source, stack)
        _check_names(folder, _FOLDERS[kind], kind)
        found = imported(module, "find_sessions")(folder)
    else:
        find_all = imported(module, "find_conversations")
        more = (Envelopes(options.key, keep=options.keep_encrypted),) if kind == "openai-agents" else ()
        tables = _tables(source, stack, _SCHEMAS.get(kind, ""))
        tables.names = options.tables
        found = find_all(tables, *more)
    return found


def _folder(source: str, stack: ExitStack) -> Folder | Bucket:
    if (path := _path(source)) is not None:
        return Folder(path)
    _, address, options = find(source)
    if address.partition(":")[0] not in _BUCKETS:
        raise InvalidError("the source is a folder, or a URL that begins with s3://, gs:// or az://")
    bucket: Bucket = imported("stowfast.importing.buckets", "open_bucket")(address, options, stack)
    return bucket


def _check_names(folder: Folder | Bucket, prefix: str, kind: str) -> None:
    """Check that a folder is empty, or one of this kind.

    Raises:
        InvalidError: it has other names alone.
    """
    names = [*folder.names("")]
    if names and not any(name.startswith(prefix) or name == _SNAPSHOTS.get(kind) for name in names):
        raise InvalidError(f"{folder.name} is no folder of {kind}: no name in it begins with {prefix!r}")


def _tables(source: str, stack: ExitStack, schema: str) -> Tables:
    if source[:_LONGEST].lower().startswith(_POSTGRES):
        open_postgres: Any = imported("stowfast.importing.postgres_tables", "open_postgres")
        found: Tables = stack.enter_context(open_postgres(source, schema))
        return found
    for scheme in _SQLITE:
        source = source.removeprefix(scheme)
    if (path := _path(source)) is None:
        raise InvalidError("the source is a SQLite file, or a URL that begins with postgresql://")
    return stack.enter_context(open_sqlite(path))


def _path(source: str) -> Path | None:
    """Return a source as a path; None: it is the like of a URL, and may hold a password that no error shows."""
    if "://" in source:
        return None
    path = Path(path_text(source, "source"))
    return None if _SCHEME.match(source) and not os.path.lexists(path) else path
