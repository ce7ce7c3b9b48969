"""Calls from signal handlers and finalizers, inside another call of their thread: done, or refused at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import stowfast.sync
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")

LENGTHS = pytest.mark.parametrize("seconds", [0.7, pytest.param(2.5, marks=pytest.mark.soak)])

# A handler every millisecond saves while the main thread saves and reads.
HANDLER = """
import asyncio, json, signal, sys, time
import stowfast, stowfast.sync
from stowfast import InvalidError, TaskState

main_url, url, face, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
done, refused, outer, longest = 0, 0, 0, 0.0
busy = False
sync_stores = stowfast.sync.open(url)

def handler(*_):
    global done, refused, busy, longest
    if busy:
        return
    busy, began = True, time.monotonic()
    try:
        sync_stores.tasks.save(TaskState(task_id="t", data={"n": done}))
        done += 1
    except InvalidError as error:
        assert "inside another call" in str(error), error
        refused += 1
    finally:
        longest = max(longest, time.monotonic() - began)
        busy = False

def use(stores):
    global outer
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stores.messages.add_message("c", {"n": outer})
        stores.messages.get_messages("c", last=1)
        stores.tasks.save(TaskState(task_id="own", data={"n": outer}))
        outer += 1

async def use_async():
    global outer
    async with stowfast.open(main_url) as stores:
        start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await stores.messages.add_message("c", {"n": outer})
            await stores.tasks.save(TaskState(task_id="own", data={"n": outer}))
            outer += 1
        stop()

def start():
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

def stop():
    signal.setitimer(signal.ITIMER_REAL, 0, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)

if face == "async":
    asyncio.run(use_async())
else:
    start()
    use(sync_stores)
    stop()
kept = [message["n"] for message in sync_stores.messages.get_messages("c")] if main_url == url else list(range(outer))
assert kept == list(range(outer)), (len(kept), outer)
saved = sync_stores.tasks.info("t").version if done else 0
assert saved == done, (saved, done)
sync_stores.close()
print(json.dumps([outer, done, refused, longest]))
"""

# Objects in cycles, so that the garbage collector runs their finalizers wherever it likes, in whichever thread.
FINALIZER = """
import gc, json, sys, time
import stowfast, stowfast.sync
from stowfast import InvalidError

_, url, _, seconds = sys.argv[1:5]
gc.set_threshold(7, 2, 2)
stores = stowfast.sync.open(url)
done, refused, outer, nested = 0, 0, 0, False

class Saves:
    def __init__(self):
        self.itself = self

    def __del__(self):
        global done, refused, nested
        if nested:
            return
        nested = True
        try:
            stores.messages.add_message("t", {"n": done})
            done += 1
        except InvalidError as error:
            assert "inside another call" in str(error), error
            refused += 1
        finally:
            nested = False

end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    Saves()
    stores.messages.add_message("c", {"n": outer, "nested": [[outer], {"k": [outer]}]})
    stores.messages.get_messages("c", last=1)
    outer += 1
gc.disable()
assert stores.messages.count("c") == outer
assert stores.messages.count("t") == done, (stores.messages.count("t"), done)
stores.close()
print(json.dumps([outer, done, refused, 0.0]))
"""


def run(script: str, seconds: float, *arguments: str) -> tuple[int, int, int, float]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        said, errors = process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError("it stands still") from None
    assert process.returncode == 0, errors
    outer, done, refused, longest = json.loads(said)
    print(f"{outer} outer calls, {done} inner ones done, {refused} refused, the longest took {longest:.2f} s")
    return outer, done, refused, longest


POSTGRES = pytest.param("postgres", marks=pytest.mark.needs("postgres_server"))


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    postgres = any(mark.args == ("postgres_server",) for mark in request.node.iter_markers("needs"))
    with FaultyS3() as server:
        places = {
            "postgres": request.getfixturevalue("postgres_server").url() if postgres else "",
            "memory": "memory:",
            "sqlite": f"sqlite:///{tmp_path}/agent.db",
            "relaxed": f"sqlite:///{tmp_path}/agent.db?durability=relaxed",
            "s3": f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true",
        }
        yield places.__getitem__


@LENGTHS
@pytest.mark.parametrize("backend", ["memory", "sqlite", "relaxed", "s3", POSTGRES])
def test_a_save_from_a_signal_handler_is_done_or_refused_at_once(
    url: Callable[[str], str], backend: str, seconds: float
) -> None:
    outer, done, _, longest = run(HANDLER, seconds, url(backend), url(backend), "sync")
    assert outer > 0
    assert done > 0
    assert longest < 20


@LENGTHS
@pytest.mark.parametrize("backend", ["sqlite", "relaxed", "s3", POSTGRES])
def test_so_is_one_of_a_sync_store_beside_an_async_one(url: Callable[[str], str], backend: str, seconds: float) -> None:
    outer, done, _, longest = run(HANDLER, seconds, url(backend), url(backend), "async")
    assert outer > 0
    assert done > 0
    assert longest < 20


@LENGTHS
@pytest.mark.parametrize("backend", ["memory", "sqlite", "s3", POSTGRES])
def test_a_save_from_a_finalizer_is_done_or_refused_at_once(
    url: Callable[[str], str], backend: str, seconds: float
) -> None:
    outer, done, _, _ = run(FINALIZER, seconds, url(backend), url(backend), "sync")
    assert outer > 0
    assert done > 0


# The two ways of the page on processes.
ASYNC = """
import asyncio, signal, sys
import stowfast
from stowfast import TaskState

async def work(stores):
    n = 0
    while True:
        await stores.messages.add_message("c", {"n": n})
        n += 1
        if n == 20:
            print("ready", flush=True)

async def main():
    async with stowfast.open(sys.argv[1]) as stores:
        task = asyncio.create_task(work(stores))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            await stores.tasks.save(TaskState(task_id="run", status="stopped", data={}))

asyncio.run(main())
"""
SYNC = """
import signal, sys
import stowfast.sync
from stowfast import TaskState

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with stowfast.sync.open(sys.argv[1]) as stores:
    try:
        n = 0
        while True:
            stores.messages.add_message("c", {"n": n})
            n += 1
            if n == 20:
                print("ready", flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stores.tasks.save(TaskState(task_id="run", status="stopped", data={}))
"""


@pytest.mark.parametrize("script", [ASYNC, SYNC], ids=["asyncio", "sync"])
@pytest.mark.parametrize("backend", ["sqlite", "relaxed", "s3"])
def test_the_documented_ways_save_at_sigterm(url: Callable[[str], str], backend: str, script: str) -> None:
    place = url(backend)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script, place], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            began = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
            process.wait(30)
            assert time.monotonic() - began < 20
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 0
        with stowfast.sync.open(place) as stores:
            state = stores.tasks.load("run")
            assert state is not None
            assert state.status == "stopped"
            kept = [message["n"] for message in stores.messages.get_messages("c")]
            assert kept == list(range(len(kept)))
            assert len(kept) >= 20
            stores.messages.delete("c")
            stores.tasks.delete("run")


# Modules of the stores are imported at the first use. A signal comes in the middle of that.
FIRST_USE = """
import signal, sys
import stowfast.sync
from stowfast import InvalidError, TaskState

stores = stowfast.sync.open("memory:")
said = []

def handler(*_):
    try:
        stores.tasks.save(TaskState(task_id="t"))
        said.append("done")
    except InvalidError as error:
        said.append("inside another call" in str(error))

class Interrupts:
    # A finder of modules: it is asked for each one before it is imported.
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGUSR1)

signal.signal(signal.SIGUSR1, handler)
sys.meta_path.insert(0, Interrupts())
stores.messages.add_message("c", {})
stores.tasks.save(TaskState(task_id="t"))
print(said, stores.messages.count("c"), stores.tasks.info("t").version)
"""


@pytest.mark.parametrize("module", ["stowfast.stores.json_check", "stowfast.stores.messages.store"])
def test_a_save_inside_the_first_use_of_a_store_is_refused(module: str) -> None:
    command = [sys.executable, "-c", FIRST_USE, module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[True] 1 1\n", "")


# The same of other modules that a call imports. The handler makes the same call, or another one.
FIRST_CALL = """
import asyncio, signal, sys
import stowfast, stowfast.sync

module, call, inside = sys.argv[1:]
if "importing" in call:
    from stowfast import importing
said = []

def handler(*_):
    try:
        eval(inside)
        said.append(True)
    except stowfast.StowfastError as error:
        said.append("inside another call" in str(error))

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == module:
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGUSR1)

stores = stowfast.sync.open("memory:") if "stores" in call else None
signal.signal(signal.SIGUSR1, handler)
sys.meta_path.insert(0, Interrupts())
try:
    eval(call)
except stowfast.StowfastError as error:
    assert "inside another call" not in str(error), error
print(said)
"""
OPEN = "stowfast.sync.open({!r}).close()"
FIRST_CALLS = [
    ("stowfast.stores.changes", "stores.changes('messages')"),
    ("stowfast.stores.tasks.leases", "stores.tasks"),
    ("stowfast.sync.tasks", "stores.tasks"),
    ("stowfast.sync.rules", "stores.rules"),
    ("stowfast.backends.sqlite.backend", OPEN.format("sqlite:///no/such/folder/agent.db")),
    ("stowfast.backends.sqlite.opening", OPEN.format("sqlite:///no/such/folder/agent.db")),
    (
        "stowfast.backends.objects.driver.opening",
        OPEN.format("s3://bucket/x?anonymous=true&endpoint_url=http://127.0.0.1:1&timeout=1"),
    ),
    ("stowfast.backends.postgres.backend", OPEN.format("postgresql://127.0.0.1:1/x?timeout=1")),
    ("ipaddress", OPEN.format("sqlite:///no%20such/folder/agent.db")),  # urllib imports it
    ("fnmatch", OPEN.format("sqlite:///with spaces.db")),  # and pathlib this one
    ("stowfast.plain_json", "stowfast.to_json(1)"),
    ("stowfast.aws", "stowfast.aws.S3MessageStore"),
    ("stowfast.testing", "stowfast.testing"),
    ("stowfast.importing.agno", "asyncio.run(importing.import_from('agno', 'no/such.db', 'memory:'))"),
    ("stowfast.importing.buckets", "asyncio.run(importing.import_from('looopy', 's3://b/x?timeout=0.2', 'memory:'))"),
]


@pytest.mark.parametrize("cached", [True, pytest.param(False, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("module", "call"), FIRST_CALLS)
def test_a_call_inside_the_import_of_another_is_made_or_refused(
    module: str, call: str, tmp_path: Path, *, cached: bool
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(tmp_path)} if cached else {"PYTHONDONTWRITEBYTECODE": "1"}
    inside = OPEN.format("sqlite:///no/such/folder/agent.db") if "asyncio" in call else call
    for _ in range(2 if cached else 1):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_CALL, module, call, inside],
            capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path,
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("[True]\n", "")
