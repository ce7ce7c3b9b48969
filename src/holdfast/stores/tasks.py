"""Task states: keeps where a run stood, so that it can go on after a crash. A stream of revisions per task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast.abc import Change, Entry, Head
from holdfast.errors import ConflictError, DamagedError, InvalidError
from holdfast.records import Page, TaskInfo, TaskState
from holdfast.stores.codec import (
    check_counts,
    check_integers,
    decode,
    encode,
    from_time,
    labels_of,
    stream_name,
    to_time,
)

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast.abc import Backend

__all__ = ["Tasks"]

_KIND: Final = "tasks"
_LABELS: Final = ("context_id", "agent_id", "status")
_CLOCKS_DIFFER: Final = 60 * 1_000_000
"""Microseconds by which the clock of a place may differ from that of whoever saves to it."""


class Tasks:
    """The task states of a place. Every save is a new version, and every version can be loaded."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def save(self, state: TaskState, *, expect: int | None = None, op_id: str | None = None) -> TaskState:
        """Store the state as the newest version of its task, and return it with that version.

        Atomic: the state and what lists show of it change together. Without `expect` the last writer wins, and the
        versions of the others stay in the history.

        Args:
            expect: the version that this save replaces; 0 for a task that must not exist yet. A state that was loaded
                before its task was deleted never fits the task that was begun again under the same id.
            op_id: names this save: a repeat after a lost answer stores nothing and returns what the first returned.

        Raises:
            ConflictError: the task is at another version, its `current`. Load it again, and decide.
            InvalidError: JSON cannot carry the data. Nothing was stored.
            UnavailableError: it may have been saved. Repeat the call with the same op_id.
        """
        if not isinstance(state, TaskState):
            raise InvalidError(f"save takes a holdfast.TaskState, not {type(state).__name__}")
        stream = stream_name(_KIND, "task_id", state.task_id)
        check_integers(expect=expect)
        labels = labels_of(_LABELS, {name: getattr(state, name) for name in _LABELS})
        if state.status is None:
            raise InvalidError("status must be a str, such as working")
        expires_at = None if state.expires_at is None else from_time(state.expires_at, "expires_at")
        record = {**labels, "expires_at": expires_at, "data": state.data}
        change = Change(
            entries=(encode(record, f"the state of task {state.task_id!r}"),),
            op_id=op_id,
            expect=expect,
            incarnation=state.incarnation or None if expect else None,
            labels=labels,
            expires_at=expires_at,
        )
        try:
            receipt = await self._backend.commit(stream, change)
        except ConflictError as error:
            if error.current == expect:
                raise ConflictError(
                    f"task {state.task_id!r} was deleted and begun again: load it again, then decide",
                    current=error.current,
                ) from error
            raise ConflictError(
                f"task {state.task_id!r} is at version {error.current}, not at {expect}: load it again, then decide",
                current=error.current,
            ) from error
        if receipt.repeated:
            # What is there is what the first call stored, whatever this one was given.
            head, kept = await self._backend.read(stream, start=receipt.first, stop=receipt.next)
            if head is not None and head.incarnation == receipt.incarnation and kept:
                return _state(state.task_id, head, kept[0])
        return TaskState(
            task_id=state.task_id,
            **labels,
            version=receipt.next,
            updated_at=to_time(receipt.committed_at),
            expires_at=state.expires_at,
            incarnation=receipt.incarnation,
            data=state.data,
        )

    async def load(self, task_id: str, *, version: int | None = None) -> TaskState | None:
        """Return the newest state of a task, or one of its versions; None where there is none."""
        stream = stream_name(_KIND, "task_id", task_id)
        check_integers(version=version)
        if version is None:
            head, entries = await self._backend.read(stream, limit=1, newest=True)
        elif version < 1:
            raise InvalidError(f"version={version}: versions begin at 1")
        else:
            head, entries = await self._backend.read(stream, start=version - 1, stop=version)
        return _state(task_id, head, entries[0]) if head and entries else None

    async def history(self, task_id: str, *, before: int | None = None, limit: int = 100) -> list[TaskState]:
        """Return the states that a task has had, the newest first, at most `limit`, below the version `before`."""
        stream = stream_name(_KIND, "task_id", task_id)
        check_counts(limit=limit)
        check_integers(before=before)
        stop = None if before is None else max(before - 1, 0)
        head, entries = await self._backend.read(stream, start=0, stop=stop, limit=limit, newest=True)
        return [_state(task_id, head, entry) for entry in reversed(entries)] if head else []

    async def list(
        self,
        *,
        context_id: str | None = None,
        agent_id: str | None = None,
        status: str | None = None,
        updated_after: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[TaskInfo]:
        """List tasks without their data, the last saved first, a page at a time.

        While tasks are saved, a page may miss or repeat one that has moved to the front meanwhile.

        Args:
            updated_after: only tasks saved later than this.
            after: the `next` of the page before.
        """
        check_counts(limit=limit)
        wanted = {"context_id": context_id, "agent_id": agent_id, "status": status}
        where = {key: value for key, value in wanted.items() if value is not None}
        since = None if updated_after is None else from_time(updated_after, "updated_after")
        found, following = await self._backend.streams(
            f"{_KIND}/", where=where, order="recent", after=after, limit=limit, heads=True
        )
        # A listing has the times of the place's clock, a head those of whoever saved it: the head decides.
        late = [one for one in found if since is None or one.updated_at > since - _CLOCKS_DIFFER]
        heads = [one.head for one in late if one.head is not None]
        return Page(
            [_info(head) for head in heads if since is None or head.updated_at > since],
            following if len(late) == len(found) else None,
        )

    async def delete(self, task_id: str) -> None:
        """Remove a task with all its versions. Nothing of it can be read again; deleting an unknown task is fine."""
        await self._backend.commit(stream_name(_KIND, "task_id", task_id), Change(delete=True))


def _state(task_id: str, head: Head, entry: Entry) -> TaskState:
    record: dict[str, Any] = decode(entry.data, f"task {task_id!r}, version {entry.position + 1}")
    try:
        expires_at = record["expires_at"]
        return TaskState(
            task_id=task_id,
            **{key: record[key] for key in _LABELS if key in record},
            version=entry.position + 1,
            updated_at=to_time(entry.created_at),
            expires_at=None if expires_at is None else to_time(expires_at),
            incarnation=head.incarnation,
            data=record["data"],
        )
    except (KeyError, TypeError) as error:
        raise DamagedError(f"task {task_id!r}, version {entry.position + 1}: this is not a task state") from error


def _info(head: Head) -> TaskInfo:
    return TaskInfo(
        task_id=head.name.removeprefix(f"{_KIND}/"),
        **head.labels,
        version=head.next,
        updated_at=to_time(head.updated_at),
        expires_at=None if head.expires_at is None else to_time(head.expires_at),
        incarnation=head.incarnation,
    )
