"""Users and tasks of the tests."""

from __future__ import annotations

from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2
from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["CANCELED", "COMPLETED", "SUBMITTED", "WORKING", "call_of", "task_named", "update_of"]

SUBMITTED, WORKING = a2a_pb2.TASK_STATE_SUBMITTED, a2a_pb2.TASK_STATE_WORKING
COMPLETED, CANCELED = a2a_pb2.TASK_STATE_COMPLETED, a2a_pb2.TASK_STATE_CANCELED


class NamedUser(User):
    """A user who is known by a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def user_name(self) -> str:
        return self._name


def call_of(name: str) -> ServerCallContext:
    return ServerCallContext(user=NamedUser(name))


def task_named(
    task_id: str, state: a2a_pb2.TaskState = SUBMITTED, *, seconds: int | None = None, context_id: str = "c"
) -> a2a_pb2.Task:
    task = a2a_pb2.Task(id=task_id, context_id=context_id, status=a2a_pb2.TaskStatus(state=state))
    if seconds is not None:
        task.status.timestamp.CopyFrom(Timestamp(seconds=seconds, nanos=7))
    return task


def update_of(task: a2a_pb2.Task) -> a2a_pb2.TaskStatusUpdateEvent:
    return a2a_pb2.TaskStatusUpdateEvent(task_id=task.id, context_id=task.context_id, status=task.status)
