"""The steps covered by a save, if several processes share a task."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import stowfast
from tests.conformance.places import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stowfast.testing import Make

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("place", PLACES)
async def test_what_a_load_showed_is_covered_by_the_save_that_follows(
    place: Callable[[Path], Make[stowfast.Stores]], tmp_path: Path
) -> None:
    make = place(tmp_path)
    async with make() as one, make() as other:
        await one.tasks.save(stowfast.TaskState(task_id="task"))
        lease = await one.tasks.claim("task", "one", HOUR)
        # It has the newest version already, and learns only of the step.
        await other.tasks.record("task", "by another process", 1, lease=lease)
        state = await one.tasks.load("task")
        assert state is not None
        assert state.steps == {"by another process": 1}
        assert (await one.tasks.save(state, lease=lease)).steps == {}
        assert await other.tasks.steps("task") == {}
        await one.tasks.release(lease)

        await other.tasks.record("task", "without a lease", 2)
        state = await one.tasks.load("task")
        assert state is not None
        assert (await one.tasks.save(state, expect=state.version)).steps == {}
        assert await other.tasks.steps("task") == {}


@pytest.mark.parametrize("place", PLACES)
async def test_what_was_not_seen_is_not_covered(place: Callable[[Path], Make[stowfast.Stores]], tmp_path: Path) -> None:
    make = place(tmp_path)
    async with make() as one, make() as other:
        state = await one.tasks.save(stowfast.TaskState(task_id="task"))
        lease = await one.tasks.claim("task", "one", HOUR)
        await other.tasks.record("task", "by another process", 1, lease=lease)
        assert (await one.tasks.save(state, lease=lease)).steps == {"by another process": 1}
        assert await other.tasks.steps("task") == {"by another process": 1}


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_known_after_a_claim_is_what_is_there(
    place: Callable[[Path], Make[stowfast.Stores]], tmp_path: Path
) -> None:
    make = place(tmp_path)
    async with make() as one, make() as other:
        await one.tasks.save(stowfast.TaskState(task_id="task", data=1))
        await other.tasks.save(stowfast.TaskState(task_id="task", data=2))
        lease = await one.tasks.claim("task", "one", HOUR)
        known = one.tasks._heads.cache.get("tasks/task")
        assert known is None or known.head == (await one.backend.heads(["tasks/task"]))[0]
        saved = await one.tasks.save(stowfast.TaskState(task_id="task", data=3), lease=lease)
        assert saved.version == 3


@pytest.mark.parametrize("place", PLACES)
async def test_what_the_place_shows_by_the_way_is_not_covered(
    place: Callable[[Path], Make[stowfast.Stores]], tmp_path: Path
) -> None:
    make = place(tmp_path)
    async with make() as one, make() as other:
        state = await one.tasks.save(stowfast.TaskState(task_id="task"))
        await other.tasks.record("task", "charge", 1)
        await one.tasks.set_expiry("task", None)  # what was known of the head is known no more
        state = await one.tasks.save(state, expect=state.version)
        assert state.steps == await other.tasks.steps("task") == {"charge": 1}

        lease = await one.tasks.claim("task", "one", HOUR)
        await other.tasks.record("task", "mail", 2)
        lease = await one.tasks.renew(lease, HOUR)  # and with it comes a head that nobody was shown
        state = await one.tasks.save(state, lease=lease)
        assert await other.tasks.steps("task") == {"mail": 2}  # the charge was in what the last save returned

        await one.tasks.record("task", "own", 3, lease=lease)
        await one.tasks.set_expiry("task", None)
        await one.tasks.save(state, lease=lease)
        assert await other.tasks.steps("task") == {}
