"""A plain append: one statement, and a call to be left before its answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stowfast.backends.postgres.checksums import content_of_entry, seed_of
from stowfast.backends.postgres.failures import UnansweredError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg
    from psycopg.abc import PQGen

    from stowfast.abc import Change
    from stowfast.backends.postgres.connection import BoundedConnection

__all__ = ["execute_briefly", "one_statement"]

_BRIEF_SECONDS: Final = 0.001


def one_statement(name: str, change: Change) -> tuple[str, dict[str, Any]] | None:
    """Return the statement of a plain append, and its values; None for any other change.

    Source of the form: https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
    """
    from psycopg.types.numeric import Int8  # one type whatever the number, so one prepared statement

    bare = change if change.op_id is None and not change.cold else change._replace(op_id=None, cold=False)
    if not change.entries or not bare.is_plain:
        return None
    statement = "append" if change.op_id is None else "append_once"
    values: dict[str, Any] = {"name": name, "count": len(change.entries), "op_id": change.op_id}
    seed = seed_of(name, change.op_id)
    if len(change.entries) == 1:
        values |= {"entry": change.entries[0], "content": Int8(content_of_entry(seed, change.entries[0]))}
        return f"{statement}_alone", values
    contents = [Int8(content_of_entry(seed, entry)) for entry in change.entries]
    return statement, values | {"entries": list(change.entries), "contents": contents}


def execute_briefly(
    connection: BoundedConnection, statement: Any, values: Mapping[str, Any]
) -> tuple[Any, Callable[[], Any]]:
    """Execute a statement, and wait a millisecond for its row.

    Returns:
        The row, or None; and a function to wait for it, with the same result or the driver's error.
    """
    import psycopg

    cursor = connection.cursor()
    connection.brief = _BRIEF_SECONDS
    try:
        return cursor.execute(statement, values).fetchone(), cursor.fetchone
    except UnansweredError as late:
        return None, partial(_finished, connection, cursor, late.call)
    except psycopg.Error as error:
        return None, partial(_raised, error)
    finally:
        connection.brief = None


def _finished(connection: BoundedConnection, cursor: psycopg.Cursor[Any], call: PQGen[None]) -> Any:
    with connection.lock:
        connection.wait(call)
    return cursor.fetchone()


def _raised(error: psycopg.Error) -> Any:
    raise error
