"""A watch: the versions of a task as they are saved, by any process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import Window
from stowfast.errors import InvalidError
from stowfast.records import TaskState
from stowfast.stores.codec import check_counts, check_given, stream_name
from stowfast.stores.optimistic import Race
from stowfast.stores.tasks.head_note import KIND

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stowfast.stores.tasks.heads import Heads
    from stowfast.stores.tasks.versions import Versions

__all__ = ["watch"]

_WAIT_SECONDS: Final = 30.0
_VERSIONS_TOGETHER: Final = 50
_PAGE_BYTES: Final = 2**20


async def watch(
    heads: Heads, versions: Versions, task_id: str, after: TaskState | int | None
) -> AsyncGenerator[TaskState, None]:
    """Yield the versions of a task behind another one, and each later one once it is saved."""
    stream, backend = stream_name(KIND, "task_id", task_id), heads.backend
    start, incarnation = 0, None
    if isinstance(after, TaskState):
        if after.task_id != task_id:
            raise InvalidError(f"after is a state of another task than {task_id!r}")
        start, incarnation = after.version, after.incarnation or None
    elif after is not None:
        check_given(after=after)
        check_counts(after=after)
        start = after
    else:
        (head,) = await backend.heads([stream])
        start, incarnation = (head.next, head.incarnation) if head else (0, None)
    race = Race(f"task {task_id!r}")
    while True:
        window = Window(start=start, limit=_VERSIONS_TOGETHER, max_bytes=_PAGE_BYTES)
        head, entries = await backend.read(stream, window)
        # Positions of a task never come back, so an end before the start is another life.
        if head is None or incarnation not in (None, head.incarnation) or head.next < start:
            begun, start, incarnation = start > 0, 0, head.incarnation if head else None
            if head is not None and begun:
                continue
        if head is not None:
            incarnation = head.incarnation
        if not entries:
            next_position = head.next if head else 0
            await backend.wait(stream, incarnation=incarnation, next=next_position, timeout=_WAIT_SECONDS)
            continue
        states = await versions.states(head, entries)
        if states is None:
            race.lose()
            continue
        race = Race(race.name)
        for state in states:
            yield state
        start = entries[-1].position + 1
