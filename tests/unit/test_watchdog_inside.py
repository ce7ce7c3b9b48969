"""Every public call ends, or says at once why not: inside another call of its thread, and in a child after a fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast import Artifact, TaskState
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.public_calls import calls, impatient_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.postgres import PostgresServer

SECONDS = 30
PLACES = ["memory", "sqlite", "s3", pytest.param("postgres", marks=pytest.mark.service)]


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        yield postgres.url() + "&timeout=5"
        return
    with FaultyS3() as server:
        yield impatient_url(request.param, tmp_path, server)


def prepare(stores: Any) -> None:
    stores.messages.add_message("c", {})
    stores.artifacts.create(Artifact(artifact_id="b", content=b"y" * 200_000))
    stores.tasks.save(TaskState(task_id="t"))
    stores.tasks.save(TaskState(task_id="outer"))


def carry_out(call: Callable[[], Any]) -> str:
    """Make a call and use what it returns. Return the name of its error, or an empty text."""
    try:
        made = call()
        if hasattr(made, "__next__"):
            next(made, None)
            made.close()
        elif hasattr(made, "__enter__"):
            with made as opened:
                if hasattr(opened, "write") and not hasattr(opened, "read"):
                    opened.write(b"x" * 3_000_000)
        elif hasattr(made, "close"):
            made.close()
    except stowfast.StowfastError as error:
        return type(error).__name__
    return ""


class Finalized:
    """Does something when nobody holds it any more."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __del__(self) -> None:
        self.act()


def in_a_callback(act: Callable[[], object]) -> None:
    act()


def in_a_signal_handler(act: Callable[[], object]) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: act())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def in_a_finalizer(act: Callable[[], object]) -> None:
    Finalized(act)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal on this system")
@pytest.mark.parametrize("nest", [in_a_callback, in_a_signal_handler, in_a_finalizer])
def test_each_call_ends_inside_another_call(url: str, nest: Callable[[Callable[[], object]], None]) -> None:
    """As it does outside. The outer call is under way in the same thread, and makes its own change afterwards."""
    with stowfast.sync.open(url) as stores:
        prepare(stores)
        outside = stores.within("outside")
        prepare(outside)
        for number, ((name, call), (_, same)) in enumerate(zip(calls(stores), calls(outside), strict=True)):
            ended: list[str] = []

            def change(
                state: TaskState, number: int = number, call: Callable[[], Any] = call, ended: list[str] = ended
            ) -> None:
                nest(lambda: ended.append(carry_out(call)))
                state.data["number"] = number

            signal.alarm(SECONDS)  # its default action ends a run that hangs
            try:
                stores.tasks.update("outer", change)
            finally:
                signal.alarm(0)
            assert ended, name
            assert set(ended) == {"" if name.startswith(WHOLE) else carry_out(same)}, name
            found = stores.tasks.load("outer")
            assert found is not None
            assert found.data == {"number": number}, name


WHOLE = ("stores.sweep", "rules.")
"""Calls of a whole place: a scope refuses them."""
REFUSED = {f"artifacts.{name}" for name in ("rows", "to_arrow", "to_pandas", "to_parquet", "url")} | {"tasks.renew"}
"""Calls whose arguments are those of another kind of artifact, or of a lease that is over."""

IN_A_CHILD = """
import asyncio, os, signal, sys
import stowfast, stowfast.sync
from tests.unit.public_calls import calls
from tests.unit.test_watchdog_inside import SECONDS, carry_out, prepare

async def begin():
    waiting = await stowfast.open(sys.argv[1])
    await add(waiting)  # so that it has threads, which the child has not
    return waiting

async def add(waiting):
    await asyncio.gather(*(waiting.messages.add_message("c3", {}) for _ in range(10)))
    return await waiting.messages.count("c3")

async def end(waiting):
    print("parent", await add(waiting), flush=True)
    await waiting.close()

stores = stowfast.sync.open(sys.argv[1])
prepare(stores)
waiting = asyncio.run(begin())
child = os.fork()
if not child:
    for name, call in calls(stores):
        signal.alarm(SECONDS)
        print(name, carry_out(call) or "done", flush=True)
    signal.alarm(SECONDS)
    stores.close()
    asyncio.run(waiting.close())
    print("both", "closed", flush=True)
    signal.alarm(0)
    os._exit(0)
ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
signal.alarm(SECONDS)
stores.messages.add_message("c2", {})
print("parent", ended, stores.messages.count("c2"), flush=True)
stores.close()
asyncio.run(end(waiting))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_each_call_ends_in_a_child_after_a_fork(url: str) -> None:
    """It works on the child's own copy in memory. Elsewhere a call is refused: open the store again.

    A close does nothing there, and the parent goes on.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_CHILD, url],
        capture_output=True, text=True, timeout=10 * SECONDS, check=False,
    )  # fmt: skip
    *told, closed, parent, waiting = [line.split() for line in done.stdout.splitlines()]
    assert (done.returncode, closed, parent) == (0, ["both", "closed"], ["parent", "0", "1"]), done.stderr
    assert waiting == ["parent", "20"]
    with stowfast.sync.open("memory:") as stores:
        assert [name for name, _ in told] == [name for name, _ in calls(stores)]
    outcomes = {outcome for name, outcome in told if url != "memory:" or name not in REFUSED}
    assert outcomes == ({"done", "NotFoundError"} if url == "memory:" else {"InvalidError"})


WITH_A_LOOP = """
import os, signal
import stowfast, stowfast.sync
from stowfast.backends.memory import MemoryBackend
from stowfast.wrappers import Wrapper
from tests.unit.test_watchdog_inside import SECONDS, carry_out

class Plain(Wrapper):
    "Not in place: its sync face has an event loop in a thread, which the child has not."

stores = stowfast.sync.over(stowfast.Stores(Plain(MemoryBackend())))
stores.messages.add_message("c", {})
child = os.fork()
signal.alarm(SECONDS)
if not child:
    print(carry_out(lambda: stores.messages.count("c")), flush=True)
    stores.close()
    print("closed", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(stores.messages.count("c"), flush=True)
stores.close()
"""
WHILE_ANOTHER_OPENS = """
import os, signal, threading
import stowfast.sync
from stowfast.adapters.opener import Opener
from tests.unit.test_watchdog_inside import SECONDS

begun, go_on = threading.Event(), threading.Event()
really = stowfast.sync.open

def slow(url):
    begun.set()
    go_on.wait()
    return really(url)

stowfast.sync.open = slow
known, other = Opener("memory:"), Opener("memory:")
opening = threading.Thread(target=other.open_sync)
opening.start()
begun.wait()
child = os.fork()
signal.alarm(SECONDS)
stowfast.sync.open = really
if not child:
    known.open_sync().messages.add_message("c", {})
    known.close_sync()
    print("closed", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
go_on.set()
opening.join()
print(other.open_sync().messages.count("c"), flush=True)
other.close_sync()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    ("script", "lines"), [(WITH_A_LOOP, ["InvalidError", "closed", "1"]), (WHILE_ANOTHER_OPENS, ["closed", "0"])]
)
def test_a_child_waits_for_no_thread_of_its_parent(script: str, lines: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True, text=True, timeout=3 * SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, lines), done.stderr
