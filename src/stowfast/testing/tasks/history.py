"""Clauses of the history: every version comes back exactly, takes little room, and can be made the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, NotFoundError, UnsupportedError
from stowfast.records import TaskState
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.tasks.states import SHAPES, Meanwhile, Tells, everything, loads, noise, save_all, saved

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_LONG: Final = 290
"""Beyond the 16th and the 256th version of a span, at both of which other versions are what the next is made from."""


async def a_history_of_any_shape_comes_back_exactly(make: Make[Stores]) -> None:
    """Growing lists, edits in the middle, other types, other text: any process loads each version exactly."""
    async with make() as stores:
        for subject, shape in SHAPES.items():
            task, datas = unique("task"), [shape(number) for number in range(1, 20)]
            await save_all(stores.tasks, task, datas)
            await everything(stores.tasks, task, datas, f"{subject}, where it was saved")
            async with make() as other:
                await everything(other.tasks, task, datas, f"{subject}, elsewhere")
                await saved(other.tasks, task, "and on")
            await everything(stores.tasks, task, [*datas, "and on"], f"{subject}, and on")


async def a_long_history_comes_back_exactly(make: Make[Stores]) -> None:
    """Each of hundreds of versions with small changes is loaded exactly, also if the saving process changes."""
    task = unique("task")
    datas: list[Any] = [{"n": n, "large": noise(3_000), "edited": [n, noise(20, n)]} for n in range(_LONG)]
    for start, stop in ((0, 10), (10, 250), (250, _LONG)):
        async with make() as stores:
            await save_all(stores.tasks, task, datas[start:stop])
    async with make() as stores:
        await everything(stores.tasks, task, datas, "a long history")


async def a_save_takes_about_what_it_changed(make: Make[Stores]) -> None:
    """Many saves of a large state with small changes take little more room than the state takes once."""
    async with make() as stores:
        tells = Tells(stores.backend)
        tasks, task, large = type(stores)(tells).tasks, unique("task"), noise(300_000)
        datas = [{"large": large, "n": [number, noise(50, number)], "rest": large[::-1]} for number in range(60)]
        await save_all(tasks, task, datas[:1])
        whole = tells.written
        await save_all(tasks, task, datas[1:])
        holds(whole <= 600_000, f"the first version of 600 KB took {whole:,} bytes")
        later = tells.written - whole
        holds(later <= 60 * 700, f"59 changes of some 60 bytes took {later:,} bytes")
        grows, before = unique("task"), tells.written
        for number in range(100):
            await saved(tasks, grows, [noise(400, one) for one in range(number)])
        took = tells.written - before
        holds(took <= 4 * 40_000, f"100 steps of a conversation that grows to 40 KB took {took:,} bytes")


async def any_version_takes_two_reads(make: Make[Stores]) -> None:
    """Any version is loaded with at most two reads of the backend, by a process that never saw the task."""
    async with make() as stores:
        task = unique("task")
        datas = [{"n": n, "large": noise(5_000), "and": noise(90, n)} for n in range(40)]
        await save_all(stores.tasks, task, datas)
        for version in (None, 1, 2, 16, 17, 18, 33, 40):
            tells = Tells(stores.backend)
            tasks = type(stores)(tells).tasks
            await loads(tasks, task, version, datas[(version or 40) - 1], "a version")
            holds(tells.asked <= 2, f"version {version or 'newest'} took {tells.asked} reads")


async def a_history_comes_in_pages(make: Make[Stores]) -> None:
    """Pages of any size, each below the last version of the one before, have every version once."""
    async with make() as stores:
        task = unique("task")
        # Some 20 versions are made from one another, then comes one that is not.
        datas = [[noise(2_000, n // 20), n] for n in range(48)]
        states = await save_all(stores.tasks, task, datas)
        for limit in (1, 7, 16, 47, 48, 100):
            found, before = list[TaskState](), None
            for _ in range(len(datas) + 1):
                page = await stores.tasks.history(task, before=before, limit=limit)
                if not page:
                    break
                holds(len(page) <= limit, f"a page of {len(page)} where {limit} were asked for")
                found += page
                before = page[-1].version
            exactly([state.data for state in found], datas[::-1], f"data in pages of {limit}")
            times = [state.updated_at for state in reversed(states)]
            same([state.updated_at for state in found], times, "when they were saved")


async def a_diff_is_the_patch_from_one_version_to_another(make: Make[Stores]) -> None:
    """A diff is a JSON Patch from the data of one version to another; without `jsonpatch` it is refused."""
    async with make() as stores:
        task = unique("task")
        datas: list[Any] = [{"a": [1, {"b": "x"}], "~/": None}, {"a": [{"b": "y"}, 1], "~/": 0, "": []}, [], "é", 1]
        datas += [True, 1.0, {"a": [1, 2, 3]}, {"a": [3, 1, 2, 4]}, {"a": [2, 4], "0": {"1": False}}, {"0": [False]}]
        await save_all(stores.tasks, task, datas)
        try:
            import jsonpatch
        except ImportError:
            await raises(UnsupportedError, stores.tasks.diff(task, 1, 2), "a diff without jsonpatch")
            return
        for a, before in enumerate(datas, 1):
            for b, after in enumerate(datas, 1):
                patch = await stores.tasks.diff(task, a, b)
                try:
                    made = jsonpatch.apply_patch(before, patch)
                except jsonpatch.JsonPatchException as error:
                    raise AssertionError(f"the patch from version {a} to {b}, {patch}: {error}") from error
                _alike(made, after, f"version {a} after the patch to version {b}, {patch}")
                holds(bool(patch) == (a != b), f"a patch from version {a} to {b} has {len(patch)} operations")
        for a, b in ((1, 99), (99, 1)):
            await raises(NotFoundError, stores.tasks.diff(task, a, b), "a diff with a version that is not there")
        await raises(InvalidError, stores.tasks.diff(task, 0, 1), "a diff with version 0")


def _alike(found: Any, wanted: Any, subject: str) -> None:
    # A patch says nothing of the order of keys.
    if isinstance(found, dict) and isinstance(wanted, dict):
        same(found.keys(), wanted.keys(), subject)
        for key, value in wanted.items():
            _alike(found[key], value, subject)
    elif isinstance(found, list) and isinstance(wanted, list):
        same(len(found), len(wanted), subject)
        for one, other in zip(found, wanted, strict=True):
            _alike(one, other, subject)
    else:
        exactly(found, wanted, subject)


async def an_earlier_version_is_made_the_newest(make: Make[Stores]) -> None:
    """Rewinding saves an earlier version again, with its fields in lists; all versions between stay."""
    async with make() as stores, make() as other:
        task, context = unique("task"), unique("context")
        first = await saved(stores.tasks, task, {"n": 1}, context_id=context, agent_id="a", status="one")
        await saved(other.tasks, task, {"n": 2}, status="two", parent_task_id="p")
        again = await stores.tasks.rewind(task, 1)
        same((again.version, again.data), (3, {"n": 1}), "what rewinding returned")
        for reader in (stores, other):
            found = await loads(reader.tasks, task, None, {"n": 1}, "a task that was rewound")
            shown = (found.status, found.context_id, found.agent_id, found.parent_task_id)
            same(shown, (first.status, context, "a", None), "what lists show of it")
            same([one.task_id for one in await reader.tasks.list(context_id=context, status="one")], [task], "a list")
            datas = [state.data for state in await reader.tasks.history(task)]
            same(datas, [{"n": 1}, {"n": 2}, {"n": 1}], "its history")
        same((await other.tasks.rewind(task, 2)).data, {"n": 2}, "what was before the rewinding")
        await raises(NotFoundError, other.tasks.rewind(task, 99), "a version that is not there")
        await raises(NotFoundError, other.tasks.rewind(unique("task"), 1), "an unknown task")


async def a_rewinding_gives_way_to_a_save(make: Make[Stores]) -> None:
    """A rewinding is a ConflictError if its task was saved, or begun again, meanwhile; the task stays as it is."""
    async with make() as stores, make() as other:
        for begun_again in (False, True):
            task = unique("task")
            await save_all(stores.tasks, task, ["old", "newer"])

            async def meanwhile(task: str = task, begun_again: bool = begun_again) -> None:
                if begun_again:
                    await other.tasks.delete(task)
                    await saved(other.tasks, task, "first")
                await saved(other.tasks, task, "newest")

            backend = Meanwhile(stores.backend, meanwhile)
            await raises(ConflictError, type(stores)(backend).tasks.rewind(task, 1), "a rewinding that somebody raced")
            backend.done()
            await loads(other.tasks, task, None, "newest", "a task that was saved meanwhile")


CLAUSES: Final = clauses(__name__)
