"""The opener of adapters: lazy, shared, for both faces, in any event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import InvalidError, UnavailableError
from stowfast.adapters import Opener, opener
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import LosesAnswers
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/agent.db"


async def test_openers_of_one_url_share_one_opening_until_the_last_closes(url: str, monkeypatch) -> None:
    opened = []

    def counted(*args: Any, **options: Any) -> stowfast.sync.Stores:
        opened.append(args)
        return real(*args, **options)

    real = stowfast.sync.open
    monkeypatch.setattr(stowfast.sync, "open", counted)
    openers = [Opener(url) for _ in range(8)]
    assert opened == []
    stores = await asyncio.gather(*(one.open() for one in openers))
    assert len(opened) == 1
    for number, one in enumerate(stores):
        assert await one.messages.add_message("c", {}) == number
    for other in openers[1:]:
        await other.close()
        await other.close()
    assert await stores[0].messages.count("c") == 8
    await openers[0].close()
    with pytest.raises(InvalidError):
        await stores[0].messages.count("c")
    again = await openers[0].open()
    assert await again.messages.count("c") == 8
    await openers[0].close()
    assert opener._openings == {}


def test_both_faces_threads_and_event_loops_use_one_opener(url: str) -> None:
    one, barrier = Opener(url), threading.Barrier(4)

    def add(number: int) -> None:
        barrier.wait()
        if number % 2:
            one.open_sync().messages.add_message("c", {"n": number})
            return

        async def run() -> None:
            await (await one.open()).messages.add_message("c", {"n": number})

        asyncio.run(run())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))
    found = one.open_sync().messages.get_messages("c")
    assert sorted(message["n"] for message in found) == list(range(12))
    one.close_sync()
    assert opener._openings == {}


async def test_given_stores_stay_open(url: str) -> None:
    async with stowfast.open(url) as stores:
        scoped = Opener(stores, scope="tenant")
        await (await scoped.open()).messages.add_message("c", {})
        await scoped.close()
        assert await stores.messages.count("c") == 0
        assert await stores.within("tenant").messages.count("c") == 1
        without_await = stowfast.sync.over(stores)
        assert without_await.async_stores is stores
        assert Opener(without_await).open_sync().messages.count("c") == 0


@pytest.mark.parametrize("scope", [None, "tenant"])
async def test_the_retention_of_given_stores_holds(scope: str | None) -> None:
    stores = stowfast.Stores(MemoryBackend())
    stores.tasks.retention = stowfast.Retention(versions=1)
    tasks = (await Opener(stores, scope=scope).open()).tasks
    for number in range(3):
        await tasks.save(stowfast.TaskState(task_id="t", data={"n": number}))
    assert [state.data for state in await tasks.history("t")] == [{"n": 2}]


async def test_a_lost_answer_stays_inside() -> None:
    stores = stowfast.Stores(LosesAnswers(MemoryBackend(), count=3))
    patient = await Opener(stores).open()
    assert await patient.messages.add_message("c", {}) == 0
    assert await patient.messages.count("c") == 1
    with pytest.raises(UnavailableError):
        await (await Opener(stowfast.Stores(LosesAnswers(MemoryBackend())), within=None).open()).messages.add_message(
            "c", {}
        )


def test_an_opening_inside_an_opening_of_the_same_thread_is_refused(url: str, monkeypatch) -> None:
    def opens_another(*args: Any, **options: Any) -> stowfast.sync.Stores:
        with pytest.raises(InvalidError, match="inside another call"):
            Opener(f"{url}2").open_sync()  # as a signal handler may do at any moment
        return real(*args, **options)

    real = stowfast.sync.open
    monkeypatch.setattr(stowfast.sync, "open", opens_another)
    one = Opener(url)
    assert one.open_sync().messages.add_message("c", {}) == 0
    one.close_sync()


class OnItsLoop(Wrapper):
    """A backend that needs an event loop."""

    in_place = False


def portals() -> int:
    return sum(thread.name == "stowfast-portal" for thread in threading.enumerate())


def test_calls_without_await_share_one_thread_until_the_close() -> None:
    one = Opener(stowfast.Stores(OnItsLoop(MemoryBackend())), within=None)
    for number in range(3):
        assert one.open_sync().messages.add_message("c", {}) == number
    assert one.run(asyncio.sleep(0, "done")) == "done"
    assert portals() == 1
    one.close_sync()
    assert portals() == 0


def test_a_wrong_argument_is_refused_by_the_constructor() -> None:
    for wrong in (7, None, b"memory:", MemoryBackend()):
        with pytest.raises(InvalidError, match="give a URL or open stores"):
            Opener(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidError):
        Opener("nowhere://x")


def _in_child(one: Opener, queue: Any) -> None:
    one._stores, one._key = None, None
    queue.put(one.open_sync().messages.add_message("c", {}))
    one.close_sync()


def test_a_child_of_a_fork_opens_anew(url: str) -> None:
    first = Opener(url)
    first.open_sync().messages.add_message("c", {})
    first.close_sync()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(Opener(url), queue))
    child.start()
    assert queue.get(timeout=30) == 1
    child.join(30)
    assert child.exitcode == 0


async def test_a_sync_method_runs_a_coroutine_over_the_stores_inside_a_running_loop(url: str) -> None:
    one = Opener(url)

    async def add() -> int:
        return await (await one.open()).messages.add_message("c", {})

    assert [one.run(add()), one.run(add())] == [0, 1]
    one.close_sync()
    assert one.run(add()) == 2
    one.close_sync()
    assert opener._openings == {}


def test_over_a_wrapper_that_may_await_anything_all_runs_share_one_thread() -> None:
    one = Opener(stowfast.Stores(LosesAnswers(MemoryBackend(), count=1)))

    async def thread() -> int:
        await (await one.open()).messages.add_message("c", {})
        return threading.get_ident()

    assert one.run(thread()) == one.run(thread()) != threading.get_ident()
    one.close_sync()
    assert not [each for each in threading.enumerate() if each.name == "stowfast-portal"]
