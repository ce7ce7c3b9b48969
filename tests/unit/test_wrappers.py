"""Wrappers with work of their own: `Patient` repeats calls without an answer."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import Stores, UnavailableError, wrappers
from stowfast.abc import ALL, Change
from stowfast.backends.memory import MemoryBackend
from stowfast.blocking import run_in_place
from stowfast.testing import BACKEND, STORES, LosesAnswers
from stowfast.wrappers import Patient, Shared, Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from stowfast.abc import Backend, Head, Listing, Query, Receipt, Slice, Window
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

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        self._fail()
        return await super().heads(streams)

    async def streams(self, query: Query) -> Listing:
        self._fail()
        return await super().streams(query)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrappers, "_FIRST_PAUSE", 0.001)


@pytest.mark.parametrize("clause", [one for one in BACKEND if one.__name__ not in DIFFERS], ids=name)
async def test_a_patient_backend_keeps_every_promise(clause: Clause[Backend]) -> None:
    place = MemoryBackend()

    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        yield Patient(Flaky(Shared(place)))

    await clause(make)


@pytest.mark.parametrize(
    "clause", [one for one in STORES if "messages" in one.__module__ and one.__name__ not in DIFFERS], ids=name
)
async def test_messages_over_a_patient_backend_keep_every_promise(clause: Clause[Stores]) -> None:
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
