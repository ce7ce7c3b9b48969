"""Wrappers with work of their own: `Patient` repeats calls without an answer."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import ConflictError, NotFoundError, Stores, UnavailableError, wrappers
from stowfast.abc import ALL, Change, Receipt, Slice
from stowfast.backends.memory import MemoryBackend
from stowfast.blocking import run_in_place
from stowfast.scopes import ScopedBackend
from stowfast.testing import BACKEND, STORES, LosesAnswers
from stowfast.wrappers import Patient, Prefixed, Shared, Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from stowfast import StowfastError
    from stowfast.abc import Backend, Head, Listing, Query, Window
    from stowfast.testing import Clause

DIFFERS = {
    "an_entry_says_when_and_by_which_call_it_came",
    "entries_say_where_when_and_by_which_call",
    "the_newest_op_ids_outlive_their_entries",
}
"""The differences in the docstring of `Patient`."""


def name(clause: Clause[Any]) -> str:
    return clause.__name__


class Flaky(Wrapper):
    """Fails before every fifth call by chance, and after every fifth commit under an op_id of `Patient`."""

    in_place = True

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._chance = random.Random(8)
        self.failures = 0

    def _fail(self) -> None:
        if self._chance.random() < 0.2:
            self.failures += 1
            raise UnavailableError("no answer")

    async def commit(self, stream: str, change: Change) -> Receipt:
        self._fail()
        receipt = await super().commit(stream, change)
        if len(change.op_id or "") == 32:
            self._fail()
        return receipt

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        self._fail()
        return await super().read(stream, window)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        self._fail()
        return await super().wait(stream, incarnation=incarnation, next=next, timeout=timeout)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        self._fail()
        return await super().heads(streams)

    async def streams(self, query: Query) -> Listing:
        self._fail()
        return await super().streams(query)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrappers, "_FIRST_PAUSE", 0.001)


@pytest.mark.slow
@pytest.mark.parametrize("clause", [one for one in BACKEND if one.__name__ not in DIFFERS], ids=name)
async def test_a_patient_backend_keeps_every_promise(clause: Clause[Backend]) -> None:
    place = MemoryBackend()

    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        yield Patient(Flaky(Shared(place)))

    await clause(make)


@pytest.mark.slow
@pytest.mark.parametrize("clause", [one for one in STORES if one.__name__ not in DIFFERS], ids=name)
async def test_stores_over_a_patient_backend_keep_every_promise(clause: Clause[Stores]) -> None:
    place = MemoryBackend()

    @asynccontextmanager
    async def make() -> AsyncIterator[Stores]:
        yield Stores(Patient(Flaky(Shared(place))))

    await clause(make)


async def test_callers_without_an_op_id_never_see_a_lost_answer() -> None:
    flaky = Flaky(MemoryBackend())
    stores = Stores(Patient(flaky))
    positions = await asyncio.gather(*(stores.messages.add_message("c", {"n": n}) for n in range(300)))
    found = await stores.messages.get_messages("c")
    print(f"{flaky.failures} calls without an answer, 300 acknowledged, {len(found)} found")
    assert sorted(positions) == list(range(300))
    assert [found[position]["n"] for position in positions] == list(range(300))
    assert flaky.failures > 50


class Many(Wrapper):
    """Counts the calls, and loses the answers to single changes and reads of a call now and then."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.calls: list[int] = []
        self.lose = 0

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        self.calls.append(len(changes))
        return self._lost(await self.backend.commit_many(changes))

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        self.calls.append(len(reads))
        return self._lost(await self.backend.read_many(reads))

    def _lost(self, found: list[Any]) -> list[Any]:
        lost, self.lose = self.lose, max(0, self.lose - 1)
        return [UnavailableError("the answer was lost") if number < lost else one for number, one in enumerate(found)]


NAMES = [f"s{number}" for number in range(6)]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda backend: Prefixed(backend, "p/"),
        Patient,
        lambda backend: ScopedBackend(Patient(backend), "tenant"),
        lambda backend: Patient(ScopedBackend(backend, "tenant")),
    ],
    ids=["prefixed", "patient", "scope over patient", "patient over scope"],
)
async def test_many_changes_and_reads_through_a_wrapper_are_one_call(wrapped: Callable[[Backend], Backend]) -> None:
    many = Many(MemoryBackend())
    backend = wrapped(many)
    made = await backend.commit_many([(name, Change([name.encode()])) for name in NAMES])
    assert [(one.first, one.repeated) for one in made if isinstance(one, Receipt)] == [(0, False)] * 6
    read = await backend.read_many([(name, ALL) for name in NAMES])
    assert [one.entries[0].data for one in read if isinstance(one, Slice)] == [name.encode() for name in NAMES]
    assert [one.head.name for one in read if isinstance(one, Slice) and one.head is not None] == NAMES
    assert many.calls == [6, 6]


async def test_of_many_only_those_without_an_answer_are_repeated() -> None:
    many = Many(MemoryBackend())
    backend = Patient(many)
    many.lose = 3
    made = await backend.commit_many([(name, Change([b"x"])) for name in NAMES])
    assert [one.first for one in made if isinstance(one, Receipt)] == [0] * 6
    many.lose = 2
    read = await backend.read_many([(name, ALL) for name in NAMES])
    assert [len(one.entries) for one in read if isinstance(one, Slice)] == [1] * 6
    assert many.calls == [6, 3, 2, 1, 6, 2, 1]
    # Two changes of one stream are made in their order, whatever is repeated.
    await backend.commit_many([("s", Change([b"%d" % number])) for number in range(20)])
    assert [one.data for one in (await backend.read("s")).entries] == [b"%d" % number for number in range(20)]


async def test_of_many_an_answer_that_never_comes_is_the_error_of_its_call_alone() -> None:
    many = Many(MemoryBackend())
    many.lose = 10**6
    backend = Patient(many, within=timedelta(milliseconds=20))
    many._lost = lambda found: [UnavailableError("lost"), *found[1:]]  # type: ignore[method-assign]
    made = await backend.commit_many([(name, Change([b"x"])) for name in NAMES])
    assert isinstance(made[0], UnavailableError)
    assert all(isinstance(one, Receipt) for one in made[1:])


async def test_an_error_below_a_prefix_does_not_show_it() -> None:
    stores = Stores(MemoryBackend())
    scope = stores.within("secret's").within("9")
    await scope.messages.add_message("c", {})
    with pytest.raises(ConflictError, match=r"^[\"']messages/c[\"'] is at 1, not at 9") as caught:
        await scope.messages.add_messages("c", [{}], expect=9)
    assert caught.value.current == 1
    made = await scope.backend.commit_many([("messages/c", Change([b"x"], expect=9))])
    assert "secret" not in str(made[0])
    with pytest.raises(NotFoundError, match="messages/c") as missing:
        await anext(scope.backend.read_blob("messages/c", "no blob"))
    assert "secret" not in str(missing.value)


async def test_a_patient_backend_gives_up_when_its_time_is_over() -> None:
    place = MemoryBackend()
    patient = Patient(LosesAnswers(place, count=1_000), within=timedelta(milliseconds=20))
    with pytest.raises(UnavailableError, match="the answer was lost"):
        await patient.commit("s", Change([b"x"]))
    assert len((await place.read("s")).entries) == 1


def test_a_patient_backend_waits_in_the_thread_of_a_sync_caller() -> None:
    async def add() -> int:
        backend = Patient(Flaky(MemoryBackend()))
        return sum([(await backend.commit("s", Change([b"x"]))).next for _ in range(20)])

    assert run_in_place(add()) == sum(range(1, 21))
