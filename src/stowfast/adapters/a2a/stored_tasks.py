"""The stored form of an A2A task: a task state of its own, with the event that led to it.

A list of A2A is by the time in a task's status, which an agent sets, then by id. Both are metadata, so a list reads no
task but those of its page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.records import TaskInfo, TaskState

with extra("a2a"):
    from a2a.types import a2a_pb2
    from a2a.utils.constants import DEFAULT_LIST_TASKS_PAGE_SIZE
    from a2a.utils.errors import InvalidParamsError
    from a2a.utils.proto_utils import parse_lenient, to_stream_response
    from a2a.utils.task import (
        ListTasksCursor,
        decode_list_tasks_cursor,
        decode_page_token,
        encode_list_tasks_cursor,
    )
    from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from a2a.server.events.event_queue import Event

    from stowfast.stores import Stores

__all__ = ["event_of", "list_page", "owner_document", "task_of", "task_state", "task_state_id"]

_PAGE: Final = 1_000_000
"""Tasks of one listing. A second page by recency could miss a task that changed meanwhile."""


class _Position(NamedTuple):
    """The place of a task in a list. Compared as A2A compares: a task without a time is the least."""

    has_time: bool
    nanoseconds: int
    task_id: str

    def cursor(self) -> ListTasksCursor:
        return ListTasksCursor(timestamp_ns=self.nanoseconds if self.has_time else None, task_id=self.task_id)


def task_state_id(owner: str, task_id: str) -> str:
    """Return the id of a task's state. Two owners may have tasks of one id."""
    return joined("a2a", "tasks", owner, task_id)


def owner_document(task_id: str) -> str:
    """Return the id of the document that names the owner of a task."""
    return joined("a2a", "owners", task_id)


def task_state(task: a2a_pb2.Task, owner: str, event: Event | None = None) -> TaskState:
    """Return the state to save for a task and the event that led to it."""
    data: dict[str, Any] = {"task": MessageToDict(task)}
    if event is not None:
        data["event"] = MessageToDict(to_stream_response(event))
    has_time = task.HasField("status") and task.status.HasField("timestamp")
    nanoseconds = task.status.timestamp.ToNanoseconds() if has_time else None
    return TaskState(
        task_id=task_state_id(owner, task.id),
        context_id=task.context_id or None,
        status=a2a_pb2.TaskState.Name(task.status.state),
        metadata={"id": task.id, "nanoseconds": nanoseconds},
        data=data,
    )


def task_of(state: TaskState) -> a2a_pb2.Task:
    """Return the task of a state. Fields of a newer protocol are left out.

    Raises:
        DamagedError: it is none of A2A.
    """
    with decoding(f"the task {state.task_id!r}"):
        return parse_lenient(state.data["task"], a2a_pb2.Task())


def event_of(state: TaskState) -> Event | None:
    """Return the event that led to a state; None for a direct write."""
    stored = state.data.get("event")
    if stored is None:
        return None
    with decoding(f"an event of the task {state.task_id!r}"):
        response = parse_lenient(stored, a2a_pb2.StreamResponse())
    kind = response.WhichOneof("payload")
    found: Event | None = None if kind is None else getattr(response, kind)
    return found


async def list_page(stores: Stores, owner: str, params: a2a_pb2.ListTasksRequest) -> a2a_pb2.ListTasksResponse:
    """Return a page of an owner's tasks: one listing of all their tasks, and one read of those of the page.

    Raises:
        InvalidParamsError: the page token is none.
    """
    positions = await _positions(stores, owner, params)
    start, size = _start(positions, params.page_token), params.page_size or DEFAULT_LIST_TASKS_PAGE_SIZE
    page, rest = positions[start : start + size], positions[start + size :]
    states = await stores.tasks.load_many([task_state_id(owner, one.task_id) for one in page])
    return a2a_pb2.ListTasksResponse(
        tasks=[task_of(state) for state in states if state is not None],  # one may be deleted since the listing
        total_size=len(positions),
        page_size=size,
        next_page_token=encode_list_tasks_cursor(page[-1].cursor()) if page and rest else None,
    )


async def _positions(stores: Stores, owner: str, params: a2a_pb2.ListTasksRequest) -> list[_Position]:
    """Return the places of all tasks that a request asks for, the first of the list first."""
    found: list[_Position] = []
    after = None
    while True:
        page = await stores.tasks.list(
            prefix=task_state_id(owner, ""),
            context_id=params.context_id or None,
            status=a2a_pb2.TaskState.Name(params.status) if params.status else None,
            order="recent",  # on a bucket only such a listing keeps an index of the heads
            after=after,
            limit=_PAGE,
        )
        found += [_position_of(info) for info in page]
        after = page.next
        if after is None:
            break
    if params.HasField("status_timestamp_after"):
        since = params.status_timestamp_after.ToNanoseconds()
        found = [one for one in found if one.has_time and one.nanoseconds >= since]
    return sorted(found, reverse=True)


def _position_of(info: TaskInfo) -> _Position:
    nanoseconds = info.metadata["nanoseconds"]
    return _Position(nanoseconds is not None, nanoseconds or 0, info.metadata["id"])


def _start(positions: list[_Position], token: str) -> int:
    """Return the number of the first task behind a page token: a cursor, or the id of that task as older releases."""
    if not token:
        return 0
    cursor = decode_list_tasks_cursor(token)
    if cursor is not None:
        last = cursor.sort_key()
        return next((number for number, one in enumerate(positions) if one < last), len(positions))
    first = decode_page_token(token)
    for number, one in enumerate(positions):
        if one.task_id == first:
            return number
    raise InvalidParamsError(f"Invalid page token: {token}")
