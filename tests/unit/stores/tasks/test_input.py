"""Wrong calls on tasks: each error names the fault and the remedy, and nothing is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import ConflictError, InMemoryTaskStateStore, InvalidError, Retention, Tasks, TaskState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MINUTE = timedelta(minutes=1)
WRONG: dict[str, Callable[[Any], Awaitable[object]]] = {
    "timedelta(minutes=1)": lambda tasks: tasks.claim("t", "me", 60),
    "above 0": lambda tasks: tasks.claim("t", "me", timedelta(0)),
    "366 days": lambda tasks: tasks.claim_next("me", timedelta(days=367)),
    "idle=60: it must be a timedelta": lambda tasks: tasks.claim_next("me", MINUTE, idle=60),
    "must not be negative": lambda tasks: tasks.claim_next("me", MINUTE, idle=-MINUTE),
    "what `claim` returned, not str": lambda tasks: tasks.renew("t", MINUTE),
    "what `claim` returned, not dict": lambda tasks: tasks.release({}),
    "what `claim` returned, not int": lambda tasks: tasks.save(TaskState(task_id="t"), lease=5),
    "what `claim` returned, not bool": lambda tasks: tasks.record("t", "step", lease=True),
    "stowfast.Retention, not int": lambda tasks: tasks.save(TaskState(task_id="t"), retention=5),
    "age=60: it must be a timedelta": lambda tasks: tasks.save(TaskState(task_id="t"), retention=Retention(age=60)),  # type: ignore[arg-type]
    "older_than=60": lambda tasks: tasks.prune("t", older_than=60),
    "such as ['step-1']": lambda tasks: tasks.save(TaskState(task_id="t"), covers="step"),
    "covers=5: it takes several": lambda tasks: tasks.save(TaskState(task_id="t"), covers=5),
    "a key in covers must be a str": lambda tasks: tasks.save(TaskState(task_id="t"), covers=[[]]),
    "not dict": lambda tasks: tasks.update("t", lambda state: {"step": 1}),
    "an update of task 't'": lambda tasks: tasks.update("t", lambda _: TaskState(task_id="u")),
    "versions begin at 1": lambda tasks: tasks.diff("t", 1, 0),
}


@pytest.mark.parametrize("remedy", WRONG)
async def test_a_wrong_call_is_told_so(remedy: str) -> None:
    tasks = InMemoryTaskStateStore()
    await tasks.save(TaskState(task_id="t", data=1))
    before = await tasks.info("t")
    with pytest.raises(InvalidError) as told:
        await WRONG[remedy](tasks)
    assert remedy.strip() in str(told.value)
    assert await tasks.info("t") == before


@pytest.mark.parametrize("wrong", [Retention(versions=0), Retention(age=-MINUTE), 5])
def test_a_store_s_retention_is_checked_where_it_is_set(wrong: Any) -> None:
    with pytest.raises(InvalidError):
        InMemoryTaskStateStore(retention=wrong)
    tasks = InMemoryTaskStateStore()
    with pytest.raises(InvalidError):
        tasks.retention = wrong
    assert tasks.retention == Retention()


async def test_an_update_that_saves_the_same_task_ends() -> None:
    tasks: Tasks = InMemoryTaskStateStore()
    await tasks.save(TaskState(task_id="t", data=0))

    async def meddle(state: TaskState) -> None:
        await tasks.save(TaskState(task_id="t", data=state.data + 1))

    with pytest.raises(ConflictError, match="was changed"):
        await tasks.update("t", meddle)
