"""The waiters for streams: a commit takes them without a lock, and misses none."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import answers
from stowfast.abc import Change
from stowfast.answers import Answer, Waiters

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from tests.services.postgres import PostgresServer


def test_a_taken_waiter_is_gone_and_the_others_stay() -> None:
    waiters: Waiters[int] = Waiters()
    for stream, waiter in (("a", 1), ("a", 2), ("b", 3), ("c", 4)):
        waiters.add(stream, waiter)
    assert waiters.of("a") == (1, 2)
    assert sorted(waiters.take(["a", "c", "missing"])) == [1, 2, 4]
    assert waiters.all() == {"b": (3,)}
    waiters.remove("a", 1)
    waiters.remove("b", 9)
    assert waiters.all() == {"b": (3,)}
    waiters.remove("b", 3)
    assert not waiters
    assert waiters.all() == {}


def test_no_waiter_that_was_added_beside_commits_is_missed() -> None:
    """Each waiter is added, then a commit follows: the answer must come."""
    waiters: Waiters[Answer[bool]] = Waiters()
    asked = 0

    def wait(number: int) -> int:
        for _ in range(400):
            news: Answer[bool] = Answer()
            waiters.add("s", news)
            for answer in waiters.take(["s"]):  # a commit of this thread; others take at the same time
                answer.resolve(True)
            assert news.wait(30)
            waiters.remove("s", news)
        return number

    with ThreadPoolExecutor(8) as threads:
        asked = sum(1 for _ in threads.map(wait, range(8)))
    assert asked == 8
    assert waiters.all() == {}
    print(f"{asked * 400} waiters of 8 threads were answered")


class Taken(list[int]):
    """A list taken by a commit right before an append."""

    def __init__(self, waiters: Waiters[int]) -> None:
        super().__init__()
        self._waiters = waiters

    def append(self, waiter: int) -> None:
        self._waiters.take(["s"])
        super().append(waiter)


def test_a_waiter_is_not_added_to_a_list_that_was_taken() -> None:
    waiters: Waiters[int] = Waiters()
    waiters._by_stream["s"] = Taken(waiters)
    waiters.add("s", 1)
    assert waiters.take(["s"]) == [1]


@pytest.mark.parametrize("moment", range(1, 80))
def test_a_waiter_that_goes_at_any_moment_of_a_commit_hides_no_other_one(moment: int) -> None:
    waiters: Waiters[str] = Waiters()
    for waiter in ("first", "second", "third"):
        waiters.add("s", waiter)
    held, steps = waiters._by_stream["s"], 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        if frame.f_code.co_filename == answers.__file__:
            frame.f_trace_opcodes = True
            steps += event == "opcode"
            if steps == moment and "first" in held:
                held.remove("first")  # as by its own thread, whose time is up
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        taken = waiters.take(["s"])
    finally:
        sys.settrace(before)
    assert {"second", "third"} <= set(taken)


@pytest.mark.parametrize("place", ["sqlite", pytest.param("postgres", marks=pytest.mark.service)])
async def test_a_commit_ends_while_a_waiter_holds_the_lock(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As by a signal handler inside the lock, in its wait for the committing thread."""
    url = f"sqlite:///{tmp_path}/agent.db"
    if place == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.url()
    async with stowfast.open(url) as stores:
        backend: object = stores.backend
        await stores.backend.commit("c", Change([b"0"]))
        news = backend._news  # type: ignore[attr-defined]
        answer = news.subscribe("c", None, 0) if place == "sqlite" else news.subscribe("c")
        held, free = threading.Event(), threading.Event()

        def hold() -> None:
            with news._waiters._lock:
                held.set()
                assert free.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert held.wait(30)
            with ThreadPoolExecutor(1) as thread:
                made = thread.submit(backend._group.commit_here, _work(place))  # type: ignore[attr-defined]
                assert made.result(30).first == 1
            assert answer.wait(30)
        finally:
            free.set()
            holder.join()
        news.forget("c", answer)


def _work(place: str) -> object:
    change = Change([b"1"])
    return ("c", change) if place == "postgres" else lambda transaction: transaction.commit("c", change)
