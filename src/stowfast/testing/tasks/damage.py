"""Clauses of damage: every damaged byte is noticed, and disturbs no other version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, Change, Slice, Window
from stowfast.errors import DamagedError
from stowfast.records import Retention
from stowfast.testing.clause import clauses, either, holds, raises, same, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.faults import DamagesHeads
from stowfast.testing.tasks.leases import HOUR
from stowfast.testing.tasks.states import loads, noise, save_all, saved
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.abc import Backend, Receipt
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_STATES: Final[dict[str, list[Any]]] = {
    "small": [{"n": n, "text": "an answer"} for n in range(3)],
    "large": [{"n": n, "large": noise(900), "to": [n]} for n in range(4)],
    "new each time": [noise(300, n) for n in range(3)],
}
_DAMAGE: Final[tuple[Callable[[int], int], ...]] = (
    lambda byte: byte ^ 1,
    lambda byte: byte ^ 0x80,
    lambda byte: byte + 1 & 0xFF,
)


async def a_damaged_byte_is_never_a_wrong_state(make: Make[Stores]) -> None:
    """With any stored byte of a version damaged, a load is right or a DamagedError."""
    async with make() as stores:
        for subject, datas in _STATES.items():
            task = unique("task")
            await save_all(stores.tasks, task, datas)
            backend = _Damages(stores.backend)
            _, entries = await backend.read(f"tasks/{task}")
            for entry in entries:
                for offset in range(len(entry.data)):
                    for damage in _DAMAGE if len(entry.data) < 100 else _DAMAGE[:1]:
                        damaged = bytearray(entry.data)
                        damaged[offset] = damage(damaged[offset])
                        backend.stored[entry.position] = bytes(damaged)
                        await _right_or_refused(stores, backend, task, datas, f"{subject}, byte {offset} of {entry}")
                for cut in (entry.data[:-1], entry.data + b"\0", entry.data[:9], b"", entry.data * 2):
                    backend.stored[entry.position] = cut
                    await _right_or_refused(stores, backend, task, datas, f"{subject}, another length of {entry}")
                del backend.stored[entry.position]


async def _right_or_refused(stores: Stores, backend: Backend, task: str, datas: list[Any], subject: str) -> None:
    tasks = type(stores)(backend).tasks
    for version, data in enumerate(datas, 1):
        found = await either(tasks.load(task, version=version), DamagedError)
        if not isinstance(found, DamagedError):
            exactly(found and found.data, data, f"{subject}: version {version}")
    states = await either(tasks.history(task), DamagedError)
    if not isinstance(states, DamagedError):
        exactly([state.data for state in states], datas[::-1], f"{subject}: the history")


async def a_damaged_version_stands_in_nobody_s_way(make: Make[Stores]) -> None:
    """Versions that are not built from a damaged one are loaded, and saves follow it."""
    for damaged in (1, 3, 5):
        async with make() as stores:
            task, datas = unique("task"), [{"n": n, "large": noise(3_000)} for n in range(5)]
            await save_all(stores.tasks, task, datas)
            backend = _Damages(stores.backend)
            backend.stored[damaged - 1] = b"damaged"
            tasks = type(stores)(backend).tasks
            await raises(DamagedError, tasks.load(task), "the newest, damaged or made from what is damaged")
            await raises(DamagedError, tasks.load(task, version=damaged), "a damaged version")
            for version in range(1, damaged):
                await loads(tasks, task, version, datas[version - 1], "what was before the damage")
            for version in (6, 7, 8):
                same((await saved(tasks, task, {"n": version})).version, version, "a save behind the damage")
                await loads(type(stores)(backend).tasks, task, None, {"n": version}, "what was saved behind the damage")
            await raises(DamagedError, tasks.history(task), "a history with a damaged version")
            same(len(await tasks.history(task, limit=3)), 3, "the history behind the damage")


async def a_damaged_version_is_no_reason_to_end_others(make: Make[Stores]) -> None:
    """Damage to the stored bytes of a version never makes a save remove another one."""
    async with make() as stores:
        task, datas = unique("task"), [noise(300, n) for n in range(4)]
        await save_all(stores.tasks, task, datas)
        _, entries = await stores.backend.read(f"tasks/{task}")
        newest = entries[-1].data
        # What says how it was made is before its body and behind it.
        for offset in (*range(24), *range(24, len(newest), 20), *range(len(newest) - 24, len(newest))):
            copy = unique("task")
            damaged = bytearray(newest)
            damaged[offset] ^= 0x40
            await stores.backend.commit(
                f"tasks/{copy}", Change(entries=[*[entry.data for entry in entries[:-1]], bytes(damaged)])
            )
            keeps_three = type(stores.tasks)(stores.backend, retention=Retention(versions=3))
            await saved(keeps_three, copy, noise(300, "new"))
            await saved(keeps_three, copy, noise(300, "newer"))
            left = [entry.position for entry in (await stores.backend.read(f"tasks/{copy}", Window(start=0))).entries]
            same(left[-3:], [3, 4, 5], f"the last versions of a task in which byte {offset} of one was damaged")


async def a_damaged_task_hides_no_other(make: Make[Stores]) -> None:
    """A list leaves out a damaged task and names it; workers pass over it; every call for it is a DamagedError."""
    async with make() as stores:
        context = unique("context")
        names = [f"{context}-{n}" for n in range(5)]
        for name in names:
            await saved(stores.tasks, name, context_id=context)
        sound, (broken, *noted) = names[3:], names[:3]
        until = b'{"holder": {"owner": "w", "token": 1, "until": 4611686018427387904, "length": 1}}'
        notes = {f"tasks/{name}": note for name, note in zip(noted, (b"\xff", until), strict=True)}
        tasks = type(stores)(DamagesHeads(stores.backend, notes, [f"tasks/{broken}"])).tasks
        page = await tasks.list(context_id=context)
        same(sorted(info.task_id for info in page), sorted(sound), "the tasks that are listed")
        same(sorted(page.damaged), sorted(names[:3]), "the tasks that are left out")
        pages = [await tasks.list(context_id=context, limit=2)]
        while pages[-1].next is not None:
            pages.append(await tasks.list(context_id=context, limit=2, after=pages[-1].next))
        left = [name for page in pages for name in (*page.damaged, *(info.task_id for info in page))]
        same(sorted(left), sorted(names), "the tasks of all pages")
        for name in names[:3]:
            for call in (tasks.info(name), tasks.load(name)):
                error = await raises(DamagedError, call, f"a call for {name}")
                holds(name in str(error), f"the error names {name}: {error}")
        notes[f"tasks/{names[2]}"] = b"[]"
        got = [await tasks.claim_next("w", HOUR, context_id=context) for _ in range(3)]
        same({lease and lease.task_id for lease in got}, {*sound, None}, "the tasks that workers got")


class _Damages(Wrapper):
    """Returns some entries with damaged bytes."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.stored: dict[int, bytes] = {}
        self._known: dict[str, Slice] = {}

    async def commit(self, stream: str, change: Change) -> Receipt:
        self._known.clear()
        return await super().commit(stream, change)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        asked = repr((stream, window))
        if asked not in self._known:  # once is enough of what stays as it is
            self._known[asked] = await super().read(stream, window)
        head, entries = self._known[asked]
        found = [(entry, self.stored.get(entry.position)) for entry in entries]
        return Slice(head, [one if data is None else type(one)(*_fields(one, data)) for one, data in found])


def _fields(entry: Any, data: bytes) -> tuple[Any, ...]:
    return (entry.position, data, entry.created_at, entry.op_id)


CLAUSES: Final = clauses(__name__)
