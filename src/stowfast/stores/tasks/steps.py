"""The recorded steps of a task since its last version, so that no step runs again after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.errors import shown
from stowfast.names import check_name
from stowfast.stores.codec import decode, encode, stream_name
from stowfast.stores.tasks.head_note import KIND, TaskNote
from stowfast.stores.tasks.heads import check_kind, check_lease

if TYPE_CHECKING:
    from stowfast.abc import Head
    from stowfast.records import Lease
    from stowfast.stores.tasks.heads import Heads

__all__ = ["StepRecords"]


class StepRecords:
    """Results of steps that no version covers yet."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads

    async def record(self, task_id: str, step_key: str, result: Any = None, *, lease: Lease | None = None) -> Any:
        """Record the result of a step, and return the first result under its key."""
        check_name(step_key, "a step_key")
        if lease is not None:
            check_kind(lease)
        encoded = encode(result, f"the result of step {shown(step_key)}")

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote | None, tuple[str, bytes]]:
            if lease is not None:
                check_lease(head, note, lease)
            if step_key in note.steps:
                return None, (head.incarnation, bytes(note.steps[step_key]))
            return note.with_step(step_key, encoded), (head.incarnation, encoded)

        incarnation, first = await self._heads.change(task_id, decide)
        self._heads.cache.show(stream_name(KIND, "task_id", task_id), incarnation, {step_key: first})
        return decode(first, f"task {task_id!r}, step {shown(step_key)}")

    async def steps(self, task_id: str) -> dict[str, Any]:
        """Return the uncovered results."""
        (head,) = await self._heads.backend.heads([stream_name(KIND, "task_id", task_id)])
        return TaskNote.read(head).results(f"task {task_id!r}")
