"""The laws of task states: a row for each call that makes a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.records import TaskState
from stowfast.testing.laws import DELETED, GONE, LOST, RACE, REPEAT, Verb, table
from stowfast.testing.tasks.states import saved

if TYPE_CHECKING:
    from stowfast.stores import Stores

__all__ = ["CLAUSES", "LAWS"]


async def _begin(stores: Stores, task_id: str) -> None:
    await saved(stores.tasks, task_id, ["first"])
    await saved(stores.tasks, task_id, ["second"])


async def _save(stores: Stores, task_id: str, **options: Any) -> tuple[int, Any]:
    return _told(await stores.tasks.save(TaskState(task_id=task_id, data=["same"]), **options))


async def _update(stores: Stores, task_id: str, **options: Any) -> tuple[int, Any]:
    def more(state: TaskState) -> None:
        state.data.append("more")

    return _told(await stores.tasks.update(task_id, more, **options))


async def _rewind(stores: Stores, task_id: str, **options: Any) -> tuple[int, Any]:
    return _told(await stores.tasks.rewind(task_id, 1, **options))


async def _later(stores: Stores, task_id: str) -> None:
    await saved(stores.tasks, task_id, ["later"])


async def _read(stores: Stores, task_id: str) -> list[tuple[int, Any]]:
    return [_told(state) for state in await stores.tasks.history(task_id)]


async def _delete(stores: Stores, task_id: str) -> None:
    await stores.tasks.delete(task_id)


async def _expect_two(_stores: Stores, _task_id: str) -> dict[str, Any]:
    return {"expect": 2}


def _told(state: TaskState) -> tuple[int, Any]:
    return state.version, state.data


_SAVE: Final = Verb("save", "`save`", _begin, _save, _read, _later, _delete, _expect_two, lambda answer: answer[0])
_UPDATE: Final = Verb("task_update", "`update`", _begin, _update, _read, _later, _delete)
_REWINDING: Final = Verb("rewinding", "`rewind`", _begin, _rewind, _read, _later, _delete)

LAWS: Final = table(
    __name__,
    {
        REPEAT: {_SAVE: "a_repeated_op_id_saves_nothing", _UPDATE: None, _REWINDING: None},
        LOST: {
            _SAVE: None,
            _UPDATE: None,
            _REWINDING: None,
        },
        RACE: {_SAVE: "of_racing_saves_that_expect_the_same_one_wins"},
        DELETED: {_SAVE: None},
        GONE: {_UPDATE: None, _REWINDING: None},
    },
)
CLAUSES: Final = tuple(LAWS.values())
