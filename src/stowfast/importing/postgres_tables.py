"""The tables of a PostgreSQL database, by psycopg, in one transaction that is read-only and sees one moment."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from stowfast.backends.postgres.failures import ours
from stowfast.backends.postgres.options import parse_address
from stowfast.errors import DamagedError, InvalidError, UnavailableError, UnsupportedError
from stowfast.first_use import imported
from stowfast.importing.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["open_postgres"]

_PAGE: Final = 200
"""Rows of one answer of the server."""
_CONNECT_SECONDS: Final = 10
_COLUMNS: Final = """
    SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident(%s)) AND c.relkind IN ('r', 'p')
    AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"""
_KIND: Final = """
    SELECT relkind::text FROM pg_catalog.pg_class
    WHERE oid = pg_catalog.to_regclass(pg_catalog.quote_ident(%s)) AND relkind IN ('r', 'p', 'v', 'm', 'f')"""
_INDEX: Final = """
    SELECT 1 FROM pg_catalog.pg_class
    WHERE oid = pg_catalog.to_regclass(pg_catalog.quote_ident(%s)) AND relkind IN ('i', 'I')"""
_SHOWN: Final = frozenset({"host", "hostaddr", "port", "dbname", "user", "sslrootcert", "sslcert", "sslkey"})
"""The parts of a URL that an error may repeat."""
_SEARCH_PATH: Final = (
    "SELECT pg_catalog.set_config('search_path',"
    " pg_catalog.concat_ws(', ', pg_catalog.quote_ident(%s), pg_catalog.current_setting('search_path')), true)"
)


class _PostgresTables(Tables):
    """Tables on the search path. JSON comes as text."""

    def __init__(self, connection: Any, errors: type[Exception], lost: type[Exception]) -> None:
        self._connection = connection
        self._errors = errors
        self._lost = lost
        self.name = "the PostgreSQL database"

    def columns(self, table: str) -> Collection[str]:
        """Return the columns of a table that is no view and no foreign table."""
        name = self.name_of(table)
        if [kind for (kind,) in self.rows(_KIND, name) if kind not in {"r", "p", b"r", b"p"}]:
            raise InvalidError(f"{self.name}: {name!r} is a view or a foreign table: only an ordinary table is read")
        return {column for (column,) in self.rows(_COLUMNS, name)}

    def has_index(self, name: str) -> bool:
        """Tell whether there is an index of this name."""
        return bool(list(self.rows(_INDEX, name)))

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, a page at a time."""
        self._cursors += 1
        try:
            with self._connection.cursor(name=f"stowfast_{self._cursors}") as cursor:
                cursor.itersize = _PAGE
                cursor.execute(self.named(query), values)
                yield from cursor
        except self._lost as error:
            raise UnavailableError(f"{self.name} gave no answer: {error}: import again") from error
        except self._errors as error:
            raise DamagedError(f"{self.name}: it cannot be read: {error}") from error

    def search(self, schema: str) -> None:
        """Look for tables in a schema before those of the search path."""
        try:
            self._connection.execute(_SEARCH_PATH, [schema])
        except self._errors as error:
            raise UnavailableError(f"{self.name} gave no answer: {error}: import again") from error

    def named(self, query: str) -> str:
        """Return a query with the names of the tables, in the form that psycopg takes."""
        return super().named(query.replace("?", "%s"))

    def _quoted(self, name: str) -> str:
        return super()._quoted(name).replace("%", "%%")

    _cursors = 0


@contextmanager
def open_postgres(url: str, schema: str) -> Iterator[Tables]:
    """Open the tables of a PostgreSQL database.

    Args:
        url: its URL.
        schema: the schema of the tables, before those of the search path; empty: the search path alone.

    Raises:
        UnsupportedError: psycopg is missing.
        InvalidError: the URL is wrong, or the server refuses the role. The error never shows a possible secret.
        UnavailableError: the server gives no answer.
    """
    try:
        import psycopg
        from psycopg.types.string import TextLoader
    except ImportError as error:
        raise UnsupportedError("a source in PostgreSQL needs psycopg: pip install 'stowfast[postgres]'") from error
    connection = _connected(psycopg, "postgresql:" + url.partition(":")[2])
    try:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for kind in ("json", "jsonb"):
            connection.adapters.register_loader(kind, TextLoader)
        tables = _PostgresTables(connection, psycopg.Error, psycopg.OperationalError)
        if schema:
            tables.search(schema)
        yield tables
    finally:
        connection.close()


def _connected(psycopg: Any, address: str) -> Any:
    # The driver's errors repeat parts of a URL: they are neither shown as they are, nor the context of ours.
    given = parse_address(address)
    bounded = imported("stowfast.backends.postgres.connection", "BoundedConnection")
    try:
        return bounded.connect(address, connect_timeout=_CONNECT_SECONDS)
    except psycopg.Error as error:
        found = ours(error)
    said = str(found)
    for value in (value for name, value in given.items() if name not in _SHOWN):
        said = said.replace(f'"{value}"', '"***"')
    raise type(found)(f"the PostgreSQL database cannot be opened: {said}")
