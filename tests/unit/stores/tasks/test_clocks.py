"""Tasks with clocks that differ or go back: no promise rests on them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stowfast import ConflictError, Stores, Tasks, TaskState
from stowfast.backends import memory
from stowfast.backends.memory import MemoryBackend
from stowfast.names import clock
from stowfast.stores.codec import to_time
from stowfast.wrappers import Wrapper

HOUR = timedelta(hours=1)


class OneClock(Wrapper):
    """The clock of the backend, for any clocks of the machines."""

    async def now(self) -> int:
        return clock()


@pytest.fixture
def ahead(monkeypatch):
    """Set this machine's clock ahead by so much."""

    def set_ahead(by: timedelta) -> None:
        microseconds = by // timedelta(microseconds=1)
        monkeypatch.setattr(memory, "clock", lambda: clock() + microseconds)

    return set_ahead


async def test_tokens_grow_whichever_machine_begins_a_task(ahead) -> None:
    stores, tokens = Stores(OneClock(MemoryBackend())), list[int]()
    for by in (HOUR, timedelta(0), -HOUR, timedelta(0), 2 * HOUR, -2 * HOUR):
        ahead(by)
        await stores.tasks.delete("t")
        await stores.tasks.save(TaskState(task_id="t"))
        for _ in range(3):
            lease = await stores.tasks.claim("t", "w", timedelta(microseconds=1))
            tokens.append(lease.token)
    assert tokens == sorted(set(tokens))


async def test_a_save_that_was_made_is_not_refused_because_a_clock_went_back(ahead) -> None:
    place = MemoryBackend()
    tasks, ends = Tasks(place), to_time(clock()) + HOUR
    ahead(2 * HOUR)
    await tasks.save(TaskState(task_id="t", data=1, expires_at=ends))
    ahead(timedelta(0))
    state = await tasks.load("t")
    assert state is not None
    for data in (2, 3):
        saved = await tasks.save(TaskState(task_id="t", data=data, expires_at=ends))
        assert saved.version == data
    lease = await tasks.claim("t", "w", HOUR)
    await tasks.record("t", "step", 1, lease=lease)
    again = await tasks.save(TaskState(task_id="t", data=4, expires_at=ends), lease=lease)
    assert again.version == 4
    assert [one.data for one in await Tasks(place).history("t")] == [4, 3, 2, 1]
    ahead(2 * HOUR)
    assert await tasks.load("t") is None
    with pytest.raises(ConflictError):
        await tasks.save(again, expect=4)


async def test_a_lease_holds_whatever_a_machine_takes_the_time_to_be(ahead) -> None:
    place = MemoryBackend()
    tasks, other = Tasks(place), Tasks(place)
    await tasks.save(TaskState(task_id="t"))
    lease = await tasks.claim("t", "w", HOUR)
    ahead(2 * HOUR)
    await tasks.save(TaskState(task_id="t"), lease=lease)
    newer = await other.claim("t", "v", HOUR)
    ahead(-2 * HOUR)
    with pytest.raises(ConflictError, match="'v' has it"):
        await tasks.save(TaskState(task_id="t"), lease=lease)
    await other.save(TaskState(task_id="t"), lease=newer)
    # By this clock the lease ends later than now plus its length: it was made under a clock that was ahead.
    last = await tasks.claim("t", "w", HOUR)
    with pytest.raises(ConflictError, match="'w' has it"):
        await other.save(TaskState(task_id="t"), lease=newer)
    await tasks.save(TaskState(task_id="t"), lease=last)
    versions = [state.version for state in await tasks.history("t")]
    assert versions == [4, 3, 2, 1]
    assert last.token > newer.token > lease.token
