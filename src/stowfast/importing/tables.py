"""The tables of a foreign database, read in one read-only transaction: a SQLite file, or PostgreSQL.

Nothing of the database runs: a view, a virtual table and a generated column are refused, and so is a value over 64 MiB.
"""

from __future__ import annotations

import re
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.errors import DamagedError, InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["SQLiteTables", "Tables", "open_sqlite"]

_HEADER: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_WAL: Final = 2
_TABLE: Final = re.compile(r"(?<=\bFROM )\w+|(?<=\bJOIN )\w+")
"""A table in one of our queries, which are constants."""
_SETTINGS: Final = ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0")


class Tables(ABC):
    """The tables of a database at one moment."""

    name: str
    """The source, for errors."""
    names: Mapping[str, str] = MappingProxyType({})
    """The names of tables that have another one than the library gives them. Methods take that of the library."""

    def name_of(self, table: str) -> str:
        """Return the name of a table."""
        return self.names.get(table, table)

    def named(self, query: str) -> str:
        """Return a query with the names of the tables. A name is quoted: nothing in it is SQL."""

        def quoted(found: re.Match[str]) -> str:
            name = self.names.get(found[0])
            return found[0] if name is None else self._quoted(name)

        return _TABLE.sub(quoted, query) if self.names else query

    def _quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    @abstractmethod
    def columns(self, table: str) -> Collection[str]:
        """Return the columns of an ordinary table, without generated ones; none: there is no such table.

        Raises:
            InvalidError: it is a view or the like.
        """

    @abstractmethod
    def has_index(self, name: str) -> bool:
        """Tell whether there is an index of this name."""

    def reference(self, table: str, column: str) -> str | None:
        """Return the table to which a foreign key of a column refers; None: there is none, or it is not known."""
        return None

    @abstractmethod
    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query: text as text or as bytes.

        Raises:
            DamagedError: the database is damaged.
        """

    def row(self, query: str, *values: object) -> tuple[Any, ...]:
        """Return the first row of a query.

        Raises:
            InvalidError: there is none.
            DamagedError: the database is damaged.
        """
        for row in self.rows(query, *values):
            return row
        raise InvalidError(f"{self.name}: a row is not found by its id")

    def has(self, table: str) -> bool:
        """Tell whether there is an ordinary table of this name."""
        return bool(self.columns(table))

    def check(self, table: str, columns: Collection[str]) -> None:
        """Check that a table has these columns.

        Raises:
            InvalidError: there is no such table, or a column is missing or generated.
        """
        found = self.columns(table)
        if not found:
            remedy = "" if table in self.names else "; a renamed table is named by an option"
            raise InvalidError(f"{self.name}: there is no table {self.name_of(table)!r}; a view is not read{remedy}")
        missing = sorted(set(columns) - set(found))
        if missing:
            raise InvalidError(f"{self.name}: the table {table!r} has no column {', '.join(missing)}: a wrong version?")


class SQLiteTables(Tables):
    """The tables of a SQLite file. Text comes as bytes: it may be no UTF-8."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self.name = name
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def close(self) -> None:
        """End all queries: until then SQLite holds the file, also after its connection was closed."""
        for cursor in [*self._cursors]:
            cursor.close()

    def columns(self, table: str) -> Collection[str]:
        """Return the columns of a table that is no view and no virtual table."""
        # A view and a virtual table have no root page. SQLite itself reads a name with any capitals.
        query = "SELECT rootpage FROM sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"
        name = self.name_of(table)
        if not (found := list(self.rows(query, name))):
            return ()
        if any(not isinstance(page, int) or page <= 0 for (page,) in found):
            raise InvalidError(f"{self.name}: {name!r} is a view or a virtual table: only an ordinary table is read")
        columns = self.rows("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0", name)
        return {name.decode(errors="replace") for (name,) in columns}

    def has_index(self, name: str) -> bool:
        """Tell whether there is an index of this name."""
        return bool(list(self.rows("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", name)))

    def reference(self, table: str, column: str) -> str | None:
        """Return the table to which a foreign key of a column refers; None: there is none."""
        query = 'SELECT "table" FROM pragma_foreign_key_list(?) WHERE "from" = ?'
        found = [*self.rows(query, self.name_of(table), column)]
        return found[0][0].decode(errors="replace") if found else None

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query."""
        try:
            cursor = self._connection.execute(self.named(query), values)
            self._cursors.add(cursor)
            # `yield from` would close the cursor once more, after its connection.
            for row in cursor:  # noqa: UP028
                yield row
        except sqlite3.Error as error:
            raise DamagedError(f"{self.name}: it cannot be read: {error}") from error


@contextmanager
def open_sqlite(path: Path) -> Iterator[SQLiteTables]:
    """Open the tables of a SQLite file. The file is not written.

    A file with a write-ahead log is read with it, as any reader does: SQLite makes the index `-shm` of the log if it is
    missing. Without a log, nothing is made.

    Raises:
        InvalidError: it is no SQLite file, or is shorter than its header says.
        UnavailableError: it cannot be opened, or was changed meanwhile.
    """
    try:
        _check_beside(path)
        header, has_log = _header_of(path), _has_log(path)
        if not has_log:
            _check_size(path, header)
        before = path.stat()
    except OSError as error:
        raise InvalidError(f"{path}: it cannot be read: {error.strerror}") from error
    # In this mode a file without a log has no writer.
    unshared = header[18] == _WAL and not has_log
    options = "mode=ro&immutable=1" if unshared else "mode=ro"
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise UnavailableError(f"{path}: it cannot be opened: {error}") from error
    with closing(connection):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ENTRY_BYTES)
        connection.text_factory = bytes
        connection.isolation_level = None
        try:
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            raise UnavailableError(
                f"{path}: it cannot be read: {error}: copy it, with its -wal, into a folder of your own"
            ) from error
        except sqlite3.Error as error:
            raise DamagedError(f"{path}: it cannot be read: {error}") from error
        with closing(SQLiteTables(connection, str(path))) as tables:
            yield tables
    after = path.stat()
    if unshared and (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise UnavailableError(f"{path}: it was changed while it was read: import again")


def _check_beside(path: Path) -> None:
    """Check that a file beside it that SQLite opens is a regular one: it would wait for a pipe."""
    for suffix in ("-journal", "-wal", "-shm"):
        beside = Path(f"{path}{suffix}")
        if beside.exists() and not beside.is_file():
            raise InvalidError(f"{beside}: it is no regular file")


def _has_log(path: Path) -> bool:
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def _header_of(path: Path) -> bytes:
    if not path.is_file():
        raise InvalidError(f"{path}: there is no such file")
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_HEADER):
        raise InvalidError(f"{path}: it is no SQLite file")
    return header


def _check_size(path: Path, header: bytes) -> None:
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    # The number of pages is valid if it was written with the last change.
    valid = header[24:28] == header[92:96]
    if valid and path.stat().st_size < pages * (65_536 if page == 1 else page):
        raise InvalidError(f"{path}: it is shorter than its header says: a part is missing")
