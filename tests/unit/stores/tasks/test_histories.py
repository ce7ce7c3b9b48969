"""Histories of tasks: any sequence of saves, prunes, rewinds and deletes by several processes matches a model."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowfast import NotFoundError, Retention, Stores, Tasks, TaskState
from stowfast.backends.memory import MemoryBackend
from stowfast.testing.tasks.states import noise
from tests.unit.edits import edited, some, written


class Model:
    """The expected task: its versions by number, and the number of kept ones."""

    def __init__(self) -> None:
        self.versions: list[Any] = []
        self.first = 1

    def shown(self, keep: int | None) -> range:
        newest = len(self.versions)
        first = self.first if keep is None else max(self.first, newest - keep + 1)
        return range(first, newest + 1)


ACTS = ("save", "save", "save", "save", "load", "prune", "keep", "rewind", "delete")


@given(st.integers(0, 2**32), st.lists(st.sampled_from(ACTS), max_size=80))
@settings(max_examples=60)
def test_any_sequence_of_calls_by_any_process_keeps_what_it_says(seed, acts) -> None:
    asyncio.run(keeps_what_it_says(random.Random(seed), acts))


async def keeps_what_it_says(chance: random.Random, acts: list[str]) -> None:
    place = MemoryBackend()
    processes = [Tasks(place), Tasks(place)]
    model, keep, value = Model(), None, {"large": noise(3_000, chance.random()), "edited": [1, {"a": "b"}]}
    for act in acts:
        tasks = chance.choice([*processes, Tasks(place)])
        newest = len(model.versions)
        if act in ("save", "keep"):
            value = edited(value, chance)
            retention = None
            if act == "keep":
                # Only ever less: what was out of bounds may be there still, or gone.
                keep = min(keep or 9, chance.choice((1, 3, 9)))
                retention = Retention(versions=keep)
            state = await tasks.save(TaskState(task_id="t", data=value), retention=retention)
            assert state.version == newest + 1
            model.versions.append(value)
        elif act == "prune" and newest:
            count = chance.choice((1, 2, 5, 50))
            await tasks.prune("t", keep=count)
            model.first = max(model.first, newest - count + 1)
        elif act == "rewind" and newest:
            version = chance.randrange(1, newest + 1)
            if version in model.shown(keep):
                value = (await tasks.rewind("t", version)).data
                model.versions.append(value)
            else:
                with pytest.raises(NotFoundError):
                    await tasks.rewind("t", version)
        elif act == "delete":
            await tasks.delete("t")
            model, keep = Model(), None
        await holds(tasks, model, keep, chance)
    for tasks in (*processes, Tasks(place)):
        await holds(tasks, model, keep, chance, every=True)


async def holds(tasks: Tasks, model: Model, keep: int | None, chance: random.Random, *, every: bool = False) -> None:
    shown, newest = model.shown(keep), len(model.versions)
    for version in range(1, newest + 2) if every else {newest, chance.randrange(1, newest + 2)} - {0}:
        found = await tasks.load("t", version=version)
        assert (found is not None) == (version in shown), f"version {version} where {shown} are shown"
        if found is not None:
            assert written(found.data) == written(model.versions[version - 1])
    latest = await tasks.load("t")
    assert (latest and latest.version) == (newest or None)
    states = await tasks.history("t", limit=1_000 if every else 3)
    wanted = list(shown)[::-1][: 1_000 if every else 3]
    assert [state.version for state in states] == wanted
    assert [written(one.data) for one in states] == [written(model.versions[number - 1]) for number in wanted]


@pytest.mark.slow
async def test_hundreds_of_edits_of_a_large_state_are_exact() -> None:
    chance, stores = random.Random(8), Stores(MemoryBackend())
    value: Any = {
        "messages": [{"n": n, "text": noise(200, n)} for n in range(100)],
        "constant": noise(40_000),
        "edited": [],
    }
    given_values = []
    for number in range(400):
        key = chance.choice(("messages", "edited"))
        inner = edited(value[key], chance)
        value = {**value, key: inner if isinstance(inner, list) and len(inner) > 50 else [*value[key], some(chance)]}
        given_values.append(written(value))
        tasks = stores.tasks if number % 7 else Tasks(stores.backend)
        await tasks.save(TaskState(task_id="t", data=value))
    cold = Tasks(stores.backend)
    for version, wanted in enumerate(given_values, 1):
        found = await cold.load("t", version=version)
        assert found is not None
        assert written(found.data) == wanted
    states = await cold.history("t", limit=400)
    assert [written(state.data) for state in reversed(states)] == given_values
    _, entries = await stores.backend.read("tasks/t")
    size = sum(len(entry.data) for entry in entries)
    print(f"400 edits of a state that has {len(given_values[-1]):,} bytes at last: {size:,} bytes stored")
    assert size < sum(map(len, given_values)) / 20


async def test_a_task_begun_again_elsewhere_is_saved_over_its_own_versions() -> None:
    """A claim from a list sees the next life of a task: versions of the life before are no base of a save."""
    place = MemoryBackend()
    one, other = Tasks(place), Tasks(place)
    await one.save(TaskState(task_id="t", data={"n": 1, "kept": noise(2_000, 1)}))
    await other.delete("t")
    await other.save(TaskState(task_id="t", data={"n": 22, "kept": noise(2_000, 2)}))
    lease = await one.claim_next("worker", timedelta(minutes=5))
    assert lease is not None
    wanted = {"n": 333, "kept": noise(2_000, 2)}
    await one.save(TaskState(task_id="t", data=wanted), lease=lease)
    found = await Tasks(place).load("t")
    assert found is not None
    assert (found.version, found.data) == (2, wanted)
