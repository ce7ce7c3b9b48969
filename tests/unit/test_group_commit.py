"""Group commit of callers without an event loop: many threads share one commit."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.answers import Answer
from stowfast.blocking import run_in_place
from stowfast.errors import InvalidError, UnavailableError
from stowfast.group_commit import GroupCommit
from stowfast.jobs import LoopJob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from stowfast.group_commit import Begun


class Disk:
    """A commit that waits for a sign, and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began, self.sign = threading.Semaphore(0), threading.Semaphore(0)
        self.group: GroupCommit[int, int] = GroupCommit(self.run)

    def run(self, works: Sequence[int], wait: bool) -> list[int | stowfast.StowfastError]:
        self.began.release()
        assert self.sign.acquire(timeout=30)
        self.batches.append(list(works))
        return [-one for one in works]


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    for _ in range(10):
        made.sign.release()
    made.group.close()


def queued(group: GroupCommit[int, int], number: int) -> None:
    """Wait until so many jobs are queued."""
    for _ in range(10_000):
        if len(group._queue) >= number:
            return
        threading.Event().wait(0.001)
    pytest.fail("they did not queue up")


def test_threads_that_come_during_a_commit_share_the_next_one(disk: Disk) -> None:
    with ThreadPoolExecutor(17) as threads:
        first = threads.submit(disk.group.commit_here, 0)
        assert disk.began.acquire(timeout=30)
        later = []
        for n in range(1, 17):
            later.append(threads.submit(disk.group.commit_here, n))
            queued(disk.group, n)
        disk.sign.release()
        disk.sign.release()
        assert [one.result(30) for one in (first, *later)] == [-n for n in range(17)]
    assert disk.batches == [[0], list(range(1, 17))]


def test_an_interrupted_caller_stores_nothing(disk: Disk) -> None:
    interrupted = threading.Event()

    def interrupt(_: int, frame: FrameType | None) -> None:
        # In the wait alone, and once: Python drops what is raised in a finalizer, and another one would end the test.
        if frame is not None and frame.f_code is Answer.wait.__code__ and not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def after() -> None:
        queued(disk.group, 1)
        for _ in range(3_000):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            if interrupted.wait(0.01):
                return

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(disk.group.commit_here, 0)
            assert disk.began.acquire(timeout=30)
            threads.submit(after)
            with pytest.raises(KeyboardInterrupt):
                disk.group.commit_here(1)
            disk.sign.release()
            assert first.result(30) == 0
            disk.sign.release()
            assert threads.submit(disk.group.commit_here, 2).result(30) == -2
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert disk.batches == [[0], [2]]


def test_a_closing_answers_each_waiting_thread(disk: Disk) -> None:
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(disk.group.commit_here, 0)
        assert disk.began.acquire(timeout=30)
        later = [threads.submit(disk.group.commit_here, n) for n in range(1, 5)]
        queued(disk.group, 4)
        closing = threads.submit(disk.group.close)
        for _ in range(5):
            disk.sign.release()
        closing.result(30)
        assert first.result(30) == 0
        stored = 0
        for n, one in enumerate(later, 1):
            error = one.exception(30)
            assert error is None or isinstance(error, InvalidError)
            stored += error is None
            assert any(n in batch for batch in disk.batches) is (error is None)
    print(f"4 waited for a closing: {stored} stored, {4 - stored} refused")


def test_without_a_thread_the_waiting_callers_are_told(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(disk.group.commit_here, 0)
        assert disk.began.acquire(timeout=30)
        threads.submit(int).result(30)  # both threads of the pool are there

        def fails(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", fails)
        second = threads.submit(disk.group.commit_here, 1)
        queued(disk.group, 1)
        disk.sign.release()
        assert first.result(30) == 0
        with pytest.raises(UnavailableError, match="nothing was stored"):
            second.result(30)
    assert disk.batches == [[0]]


def test_a_call_inside_the_group_s_own_commit_is_refused() -> None:
    found: list[Exception] = []

    def run(works: Sequence[int], wait: bool) -> list[int | stowfast.StowfastError]:
        try:
            group.commit_here(1)
        except InvalidError as error:
            found.append(error)
        return list(works)

    group: GroupCommit[int, int] = GroupCommit(run)
    assert group.commit_here(0) == 0
    group.close()
    assert [type(one) for one in found] == [InvalidError]


def test_messages_of_many_threads_are_each_there_once_in_order(tmp_path: Path) -> None:
    with stowfast.sync.open(f"sqlite:///{tmp_path}/agent.db") as stores, ThreadPoolExecutor(32) as threads:

        def write(n: int) -> None:
            for i in range(20):
                assert stores.messages.add_message(f"c{n % 4}", {"thread": n, "i": i}) >= 0

        list(threads.map(write, range(32)))
        for n in range(32):
            found = [m["i"] for m in stores.messages.get_messages(f"c{n % 4}") if m["thread"] == n]
            assert found == list(range(20))
    print("32 threads: 640 messages acknowledged, 640 found")


class Wire:
    """A commit only sent by a loop. The wait for it needs a sign."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.sent, self.sign = threading.Event(), threading.Semaphore(0)
        self.error: BaseException | None = None
        self.group: GroupCommit[int, int] = GroupCommit(self.run, inline_below=60)

    def run(self, works: Sequence[int], wait: bool) -> Begun[int]:
        if not wait and len(works) == 1 and works[0] > 0:
            self.events.append(f"sent {works[0]}")
            return partial(self.rest, works)
        if not wait:
            return None
        self.events.append(f"ran {list(works)}")
        return [-one for one in works]

    def rest(self, works: Sequence[int]) -> list[int | stowfast.StowfastError]:
        self.sent.set()
        assert self.sign.acquire(timeout=30)
        self.events.append(f"answered {works[0]}")
        if self.error is not None:
            raise self.error
        return [-one for one in works]


@pytest.fixture
async def line() -> AsyncIterator[Wire]:
    made = Wire()
    await made.group.submit(0)  # by the thread: it was fast
    assert made.events == ["ran [0]"]
    with made.group._lock:  # until the thread has left it
        pass
    yield made
    made.sign.release()
    made.group.close()


async def sent(line: Wire, work: int) -> asyncio.Task[int]:
    call = asyncio.create_task(line.group.submit(work))
    assert await asyncio.to_thread(line.sent.wait, 30)
    return call


async def test_what_a_loop_has_sent_is_answered_before_any_other_commit(line: Wire) -> None:
    call = await sent(line, 1)
    others = [asyncio.create_task(line.group.submit(n)) for n in (2, 3)]
    elsewhere = asyncio.create_task(asyncio.to_thread(line.group.commit_here, 4))
    await asyncio.to_thread(queued, line.group, 3)
    assert line.events == ["ran [0]", "sent 1"]
    line.sign.release()
    assert await asyncio.gather(call, *others, elsewhere) == [-1, -2, -3, -4]
    assert line.events[2] == "answered 1"
    assert len(line.events) in {4, 5}, line.events


async def test_a_cancelled_caller_leaves_what_was_sent_to_the_thread(line: Wire) -> None:
    call = await sent(line, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    line.sign.release()
    assert await asyncio.to_thread(line.group.commit_here, 2) == -2
    assert line.events == ["ran [0]", "sent 1", "answered 1", "ran [2]"]


async def test_a_closing_waits_for_what_was_sent(line: Wire) -> None:
    call = await sent(line, 1)
    closing = asyncio.create_task(asyncio.to_thread(line.group.close))
    line.sign.release()
    assert await call == -1
    await closing
    with pytest.raises(InvalidError):
        await line.group.submit(2)
    assert line.events == ["ran [0]", "sent 1", "answered 1"]


@pytest.mark.parametrize("error", [UnavailableError("lost"), ValueError("odd")], ids=repr)
async def test_the_caller_is_told_how_what_was_sent_ended(line: Wire, error: Exception) -> None:
    line.error = error
    call = await sent(line, 1)
    line.sign.release()
    with pytest.raises(UnavailableError) as told:
        await call
    assert error in {told.value, told.value.__cause__}
    line.error = None
    assert await line.group.submit(-5) == 5


async def test_without_a_thread_what_was_sent_is_answered_in_place(line: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    line.group._thread = None  # as after a thread could not be made
    monkeypatch.setattr(threading.Thread, "start", fails)
    line.sign.release()
    assert await line.group.submit(1) == -1


@pytest.mark.parametrize("line_up", [False, True], ids=["sent", "queued"])
async def test_an_interrupt_before_the_answers_leaves_no_caller_waiting(
    line: Wire, monkeypatch: pytest.MonkeyPatch, *, line_up: bool
) -> None:
    def interrupted_once(*given: Any) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    job: LoopJob[int, int] = LoopJob(1, asyncio.get_running_loop())
    if line_up:
        line.group._queue.append(job)
    else:
        line.group._sent = [job], lambda: [-1]
    monkeypatch.setattr("stowfast.group_commit.deliver", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        line.group.lead()
    with pytest.raises(UnavailableError, match="same op_id"):
        await job.future
    assert line.group._sent is None
    assert await line.group.submit(-7) == 7


async def test_a_loop_that_sleeps_is_woken_by_a_handler_that_answers_its_own_caller(line: Wire) -> None:
    """The handler runs while the loop waits in `select`: an answer without a word to the selector would lie there."""
    loop = asyncio.get_running_loop()
    job: LoopJob[int, int] = LoopJob(1, loop)

    def handler(*_: object) -> None:
        line.group._sent = [job], lambda: [-1]
        assert run_in_place(line.group.submit_many([-2])) == [2]

    before = signal.signal(signal.SIGUSR1, handler)
    began, awake = loop.time(), loop.call_later(20, int)
    killer = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
    try:
        killer.start()
        assert await job.future == -1
        assert loop.time() - began < 10
    finally:
        awake.cancel()
        killer.join()
        signal.signal(signal.SIGUSR1, before)
