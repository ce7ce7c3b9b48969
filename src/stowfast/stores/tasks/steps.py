"""The recorded steps of a task since its last version, so that no step runs again after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.names import check_name
from stowfast.stores.codec import decode, encode, stream_name
from stowfast.stores.tasks.head_note import KIND, TaskNote
from stowfast.stores.tasks.heads import Heads, check_kind, check_lease

if TYPE_CHECKING:
    from stowfast.abc import Head
    from stowfast.records import Lease

__all__ = ["StepRecords"]


class StepRecords(Heads):
    """Results of steps that no version covers yet."""

    async def record(self, task_id: str, step_key: str, result: Any = None, *, lease: Lease | None = None) -> Any:
        """Record the result of a step until a save covers it, and return it; of a recorded key, the first result.

        Check `TaskState.steps` before a step with effects, and record it right after. Of racing calls with one key, one
        result is kept, and all calls return it. A repeat after a lost answer changes nothing, unless a save covered the
        key meanwhile: then the key is unknown again.

        Args:
            result: any JSON. All uncovered results of a task together may have 48 KiB.
            lease: refuse to record after the lease passed on.

        Raises:
            ConflictError: the lease passed on. Stop.
            InvalidError: JSON cannot store the result, or there is no room for it. Nothing was recorded.
            NotFoundError: the task does not exist. Save it first.
            UnavailableError: it may be recorded. Repeat the call.
        """
        check_name(step_key, "a step_key")
        if lease is not None:
            check_kind(lease)
        encoded = encode(result, f"the result of step {step_key!r}")

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote | None, tuple[str, bytes]]:
            if lease is not None:
                check_lease(head, note, lease)
            if step_key in note.steps:
                return None, (head.incarnation, bytes(note.steps[step_key]))
            return note.with_step(step_key, encoded), (head.incarnation, encoded)

        incarnation, first = await self._change(task_id, decide)
        self._memory.show(stream_name(KIND, "task_id", task_id), incarnation, {step_key: first})
        return decode(first, f"task {task_id!r}, step {step_key!r}")

    async def steps(self, task_id: str) -> dict[str, Any]:
        """Return the results that no version covers yet, by step key, in the order recorded."""
        (head,) = await self._backend.heads([stream_name(KIND, "task_id", task_id)])
        return TaskNote.read(head).results(f"task {task_id!r}")
