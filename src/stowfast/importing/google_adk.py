"""Google ADK: the tables of `SqliteSessionService` and of `DatabaseSessionService`, release 2.13.0, schema version 1.

Schema version 0 holds pickled values: it is refused. `adk migrate session` makes version 1 of it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.ids import joined
from stowfast.errors import InvalidError
from stowfast.importing.grouping import grouped
from stowfast.importing.streams import conversation, document, json_of, moment_of, text_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.streams import Found, SourceStream
    from stowfast.importing.tables import Tables

__all__ = ["find_conversations"]

_SESSION: Final = ("app_name", "user_id")
_BY_ROW: Final = (
    "SELECT s.app_name, s.user_id, s.id, s.state, s.update_time, e.id, e.invocation_id, e.timestamp, e.event_data"
    " FROM sessions s LEFT JOIN events e ON e.app_name = s.app_name AND e.user_id = s.user_id AND e.session_id = s.id"
    " ORDER BY s.app_name, s.user_id, s.id, e.timestamp, e.rowid"
)
"""In the order of `SqliteSessionService`."""
_BY_ID: Final = (
    "SELECT s.app_name, s.user_id, s.id, s.state, s.update_time, e.id, e.invocation_id, e.timestamp, e.event_data"
    " FROM sessions s LEFT JOIN events e ON e.app_name = s.app_name AND e.user_id = s.user_id AND e.session_id = s.id"
    " ORDER BY s.app_name, s.user_id, s.id, e.timestamp, e.id"
)
"""In the order of `DatabaseSessionService`."""
_APPS: Final = "SELECT app_name, update_time, state FROM app_states ORDER BY app_name"
_USERS: Final = "SELECT app_name, user_id, update_time, state FROM user_states ORDER BY app_name, user_id"
_VERSION: Final = "SELECT value FROM adk_internal_metadata WHERE key = 'schema_version'"
_MICROSECONDS: Final = 1_000_000


def find_conversations(tables: Tables) -> Generator[Found]:
    """Yield the states of apps and users as documents, and each session as a conversation.

    Raises:
        InvalidError: these are no tables of ADK, or they are of another schema version.
    """
    is_by_id = tables.has("adk_internal_metadata")
    if (is_by_id and [*tables.rows(_VERSION)] not in ([("1",)], [(b"1",)])) or "actions" in tables.columns("events"):
        raise InvalidError(
            f"{tables.name}: its schema is not version 1; version 0 holds pickled values, which are not loaded: "
            "make version 1 of it with adk migrate session"
        )
    tables.check("sessions", (*_SESSION, "id", "state", "update_time"))
    tables.check("events", (*_SESSION, "session_id", "id", "invocation_id", "timestamp", "event_data"))
    tables.check("app_states", ("app_name", "state", "update_time"))
    tables.check("user_states", (*_SESSION, "state", "update_time"))
    yield from grouped(tables.rows(_APPS), 1, _state)
    yield from grouped(tables.rows(_USERS), 2, _state)
    yield from grouped(tables.rows(_BY_ID if is_by_id else _BY_ROW), 3, _session)


def _state(*given: Any) -> SourceStream:
    *ids, rows = given
    ((moment, state),) = rows
    return document(joined("adk", *ids), _object(state, "the state"), moment)


def _session(app: str, user: str, id: str, rows: Iterator[tuple[Any, ...]]) -> SourceStream:
    first = next(rows)
    state, moment = first[:2]
    facts = {"app_name": app, "user_id": user, "id": id, "state": _object(state, "the state of a session")}
    # A session without events has one row without any.
    events = (_event(*row[2:]) for row in chain([first], rows) if row[2] is not None)
    return conversation(joined("adk", app, user, id), events, {"adk": {**facts, "last_update_time": _seconds(moment)}})


def _event(id: object, invocation: object, moment: object, data: object) -> tuple[object, dict[str, Any]]:
    event = _object(data, "an event")
    event |= {"id": text_of(id, "the id of an event"), "invocation_id": text_of(invocation, "the id of an invocation")}
    return event.setdefault("timestamp", _seconds(moment)), event


def _seconds(moment: object) -> float:
    return moment if isinstance(moment, float) else (moment_of(moment) or 0) / _MICROSECONDS


def _object(data: object, subject: str) -> dict[str, Any]:
    found = json_of(data, subject)
    if not isinstance(found, dict):
        raise InvalidError(f"{subject} is no JSON object")
    return found
