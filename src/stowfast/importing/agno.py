"""Agno: the tables of `SqliteDb` and `PostgresDb`, release 3.1.10, and those before 3.0 with the runs in one column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.importing.streams import conversation, json_of, optional_list, optional_text, text_of
from stowfast.importing.tasks import task
from stowfast.moving import Difference
from stowfast.records import TaskState

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.streams import Found, SourceStream
    from stowfast.importing.tables import Tables

__all__ = ["find_conversations"]

_FACTS: Final = ("session_type", "agent_id", "team_id", "workflow_id", "user_id")
_JSON: Final = ("session_data", "metadata", "summary")
_IDS: Final = "SELECT session_id FROM agno_sessions ORDER BY session_id"
_SESSION: Final = (
    "SELECT session_type, agent_id, team_id, workflow_id, user_id, session_data, metadata, summary"
    " FROM agno_sessions WHERE session_id = ?"
)
_OLD_RUNS: Final = "SELECT runs FROM agno_sessions WHERE session_id = ?"
_RUN_IDS: Final = "SELECT run_id FROM agno_runs WHERE session_id = ? ORDER BY run_index, created_at, run_id"
_RUN: Final = "SELECT run_data FROM agno_runs WHERE session_id = ? AND run_id = ?"
_SKIPPED: Final = ("PAUSED", "CANCELLED", "ERROR", "REGENERATED")
"""Statuses of the runs that Agno leaves out of a conversation."""


def find_conversations(tables: Tables) -> Generator[Found]:
    """Yield each session as a conversation, and each of its runs as a task.

    Raises:
        InvalidError: these are no tables of Agno.
    """
    tables.check("agno_sessions", ("session_id", *_FACTS, *_JSON))
    is_old, is_new = "runs" in tables.columns("agno_sessions"), tables.has("agno_runs")
    if is_new:
        tables.check("agno_runs", ("run_id", "session_id", "run_index", "created_at", "run_data"))
    elif not is_old:
        raise InvalidError(f"{tables.name}: there is neither a table 'agno_runs' nor a column 'runs': a wrong version?")
    names: set[str] = set()
    for (value,) in tables.rows(_IDS):
        try:
            session = _Session(tables, text_of(value, "an id"), is_old=is_old, is_new=is_new)
            yield session.conversation()
            yield from session.tasks(names)
        except InvalidError as error:
            yield Difference(repr(value), str(error))


class _Session:
    """A session: its runs are read each time they are asked for."""

    def __init__(self, tables: Tables, id: str, *, is_old: bool, is_new: bool) -> None:
        self._tables = tables
        self._id = id
        self._is_old = is_old
        self._is_new = is_new

    def conversation(self) -> SourceStream:
        *facts, data, metadata, summary = self._tables.row(_SESSION, self._id)
        told: dict[str, Any] = {
            name: text_of(value, name) for name, value in zip(_FACTS, facts, strict=True) if value is not None
        }
        for name, value in zip(_JSON, (data, metadata, summary), strict=True):
            if (found := _json(value, name)) is not None:
                told[name] = found
        return conversation(self._id, self._messages(), told)

    def tasks(self, names: set[str]) -> Iterator[Found]:
        """Yield the runs. A second run of one id is refused."""
        for number, one in enumerate(self._runs()):
            try:
                found = _task(self._id, self._read(one))
                if found.name in names:
                    raise InvalidError("there is another run of this id")
                names.add(found.name)
                yield found
            except InvalidError as error:
                yield Difference(f"session {self._id!r}, run {number:,}", str(error))

    def _messages(self) -> Iterator[tuple[object, dict[str, Any]]]:
        """Yield messages as Agno's `get_messages` does: no history again, and one system message."""
        has_system = False
        for run in map(self._read, self._runs()):
            if run.get("parent_run_id") is not None or run.get("status") in _SKIPPED:
                continue
            for one in optional_list(run.get("messages"), "the messages of a run"):
                message = _object(one, "a message")
                is_system = message.get("role") == "system"
                if message.get("from_history") or (is_system and has_system):
                    continue
                has_system |= is_system
                yield message.get("created_at", run.get("created_at")), message

    def _runs(self) -> Iterator[str | dict[str, Any]]:
        """Yield the runs in order, one in the table as its id: those of the column, then the others of the table."""
        stored = list(self._stored()) if self._is_new else []
        rest = dict.fromkeys(stored)
        for run in self._old():
            id = run.get("run_id")
            if isinstance(id, str) and id in rest:
                del rest[id]
                yield id
            else:
                yield run
        yield from rest

    def _stored(self) -> Iterator[str]:
        for (id,) in self._tables.rows(_RUN_IDS, self._id):
            yield text_of(id, "the id of a run")

    def _old(self) -> list[dict[str, Any]]:
        if not self._is_old:
            return []
        (runs,) = self._tables.row(_OLD_RUNS, self._id)
        found = _json(runs, "the runs of a session")
        return [_object(one, "a run") for one in optional_list(found, "the runs of a session")]

    def _read(self, run: str | dict[str, Any]) -> dict[str, Any]:
        if isinstance(run, dict):
            return run
        (data,) = self._tables.row(_RUN, self._id, run)
        return _object(_json(data, f"run {run}"), f"run {run}")


def _task(session: str, run: dict[str, Any]) -> SourceStream:
    agents = (run.get(name) for name in ("agent_id", "team_id", "workflow_id"))
    status = run.get("status")
    state = TaskState(
        task_id=text_of(run.get("run_id"), "the id of a run"),
        context_id=session,
        agent_id=next((text_of(one, "the id of an agent") for one in agents if one is not None), None),
        parent_task_id=optional_text(run.get("parent_run_id"), "the id of a parent"),
        status="unknown" if status is None else text_of(status, "a status").lower(),
        data=run,
    )
    return task(state, [(run.get("created_at"), state)], newest_only=True)


def _json(value: object, what: str) -> Any:
    """Return a value of a JSON column: before 3.0 it was JSON text in JSON text."""
    found = None if value is None else json_of(value, what)
    return json_of(found, what) if isinstance(found, str) else found


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidError(f"{what} is no JSON object")
    return value
