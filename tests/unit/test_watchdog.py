"""Every public call ends where it cannot be done: after close, without threads, at exit, locked out by a process."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import stowfast
import stowfast.sync
from stowfast import Artifact, InvalidError, StowfastError, TaskState, UnavailableError
from tests.services.between import between
from tests.services.faulty_s3.server import Fault, FaultyS3
from tests.services.postgres import PostgresServer
from tests.unit.public_calls import ARGUMENTS, NOT_CALLED, calls, impatient_url, of, public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

SECONDS = 30
IMPATIENT_SECONDS = 10
"""The bound of a call whose `timeout` is about a second, on a busy machine."""
LEFT_ALONE_SECONDS = 15
"""All calls at once, with two seconds each: some wait behind others."""


@pytest.fixture(params=["memory", "sqlite", "s3", pytest.param("postgres", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        yield postgres.url() + "&timeout=3"
        return
    with FaultyS3() as server:
        yield impatient_url(request.param, tmp_path, server)


async def prepare(stores: stowfast.Stores) -> None:
    await stores.messages.add_message("c", {})
    await stores.artifacts.create(Artifact(artifact_id="b", content=b"y" * 200_000))
    await stores.tasks.save(TaskState(task_id="t"))


async def ended(call: Callable[[], Any]) -> BaseException | None:
    """Carry out a call of any kind, and return its error; an endless call is an AssertionError."""
    try:
        async with asyncio.timeout(SECONDS):
            made = call()
            if inspect.isawaitable(made):
                made = await made
                if hasattr(made, "close") and hasattr(made, "read"):
                    await asyncio.to_thread(made.close)
            elif hasattr(made, "__anext__"):
                await anext(made, None)
                await made.aclose()
            elif hasattr(made, "__aenter__"):
                async with made as opened:
                    if hasattr(opened, "write"):
                        await opened.write(b"x" * 3_000_000)
    except TimeoutError:
        raise AssertionError(f"it has not ended after {SECONDS} s") from None
    except StowfastError as error:
        return error
    return None


def test_every_public_method_is_called() -> None:
    with stowfast.sync.open("memory:") as stores:
        known = public(stores) | NOT_CALLED
        for store, methods in ARGUMENTS.items():
            inherited = known if store == "scope" else NOT_CALLED
            assert public(of(stores, store)) - inherited == set(methods), store


async def test_a_closed_store_says_so(url: str) -> None:
    stores = await stowfast.open(url)
    await prepare(stores)
    await stores.close()
    for name, call in calls(stores):
        error = await ended(call)
        assert isinstance(error, InvalidError), (name, error)
    await stores.close()


@pytest.mark.slow
async def test_each_call_on_a_bucket_ends_where_bodies_drip() -> None:
    """The headers of an answer come at once, its body a byte every fifth of a second."""
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout=0.9"
        async with stowfast.open(url.replace("timeout=0.9", "timeout=30")) as stores:
            await prepare(stores)
        async with stowfast.open(url) as stores:
            await stores.messages.count("c")  # the bucket is tested, the caches are empty
            server.fail(Fault.DRIP, times=None)
            refused = set[str]()
            for name, call in calls(stores):
                began = time.monotonic()
                if isinstance(await ended(call), UnavailableError):
                    refused.add(name)
                assert time.monotonic() - began < IMPATIENT_SECONDS, name
            server.heal()
            assert await stores.messages.add_message("again", {}) == 0
        assert {"artifacts.get", "tasks.load", "stores.changes", "stores.sweep"} <= refused


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the system refuse every new thread, from the call on."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    return lambda: monkeypatch.setattr(threading.Thread, "start", refuse)


async def test_without_threads_each_call_ends_and_later_ones_work(
    url: str, no_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stowfast.open(url) as stores:
        await prepare(stores)
    async with stowfast.open(url, **({"sweep": False} if url.startswith("sqlite") else {})) as stores:
        no_threads()
        seen = 0
        for name, call in calls(stores):
            if name == "artifacts.open_file" or (url == "memory:" and name == "artifacts.open_reader"):
                continue
            error = await ended(call)
            seen += isinstance(error, UnavailableError)
            assert not isinstance(error, InvalidError) or "no thread" not in str(error), (name, error)
        assert seen > 0 or url == "memory:"
        monkeypatch.undo()
        await stores.messages.add_message("again", {})
        assert await stores.messages.count("again") == 1
        no_threads()
        await asyncio.wait_for(stores.close(), SECONDS)
        monkeypatch.undo()


async def test_where_no_thread_can_be_made_an_opening_is_refused_or_works(
    url: str, no_threads: Callable[[], None]
) -> None:
    no_threads()
    assert isinstance(await ended(lambda: stowfast.open(url)), UnavailableError | None)


def test_a_lock_of_another_process_ends_each_call_in_time(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with stowfast.sync.open(f"sqlite:///{path}", timeout=0.3, sweep=False) as stores:
        stores.messages.add_message("c", {})
        stores.artifacts.create(Artifact(artifact_id="b", content=b"y" * 200_000))
        stores.tasks.save(TaskState(task_id="t"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        refused = 0
        for name, call in calls(stores):
            if name.partition(".")[2] in {
                "open_live",
                "open_writer",
                "open_dataset",
                "open_reader",
                "open_file",
                "url",
            }:
                continue
            began = time.monotonic()
            try:
                made = call()
                if hasattr(made, "__next__"):
                    next(made, None)
                    made.close()
            except UnavailableError:
                refused += 1
            except StowfastError:
                pass
            assert time.monotonic() - began < SECONDS, name
        other.close()
        assert refused >= 10
        assert stores.messages.add_message("c", {}) >= 1


@contextmanager
def silent(server: Postgres) -> Iterator[tuple[str, Callable[[], None]]]:
    """The network takes all bytes and passes on none."""
    with between(PostgresServer(server.endpoint)) as (proxy, url):
        yield f"{url}?sslmode=disable&timeout=2", lambda: setattr(proxy, "silent", True)


@contextmanager
def stopped(server: Postgres) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each process of the server stands still."""
    pids: list[int] = []

    def stop() -> None:
        pids.extend(server.processes())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    try:
        yield f"{server.endpoint}/postgres?timeout=2", stop
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def locked(server: Postgres) -> Iterator[tuple[str, Callable[[], None]]]:
    """Another session holds the tables, and is idle in its transaction."""
    address = f"{server.endpoint}/postgres"
    with psycopg.connect(address) as other:

        def lock() -> None:
            other.execute("LOCK stowfast.streams IN ACCESS EXCLUSIVE MODE")

        yield f"{address}?timeout=2", lock


@pytest.mark.parametrize("situation", [silent, stopped, locked])
async def test_a_server_without_an_answer_ends_each_call_and_the_store(
    situation: Callable[[Postgres], Any], postgres_alone: Postgres
) -> None:
    with situation(postgres_alone) as (url, begin):
        stores = await stowfast.open(url)
        await prepare(stores)
        begin()
        began = time.monotonic()
        made = list(calls(stores))
        errors = await asyncio.gather(*(ended(call) for _, call in made))
        await asyncio.wait_for(stores.close(), SECONDS)
        assert time.monotonic() - began < LEFT_ALONE_SECONDS
        for (name, _), error in zip(made, errors, strict=True):
            assert error is None or isinstance(error, UnavailableError), (name, error)
        assert sum(error is not None for error in errors) > 40


AT_EXIT = """
import atexit, sys, time
import stowfast, stowfast.sync

url, opened = sys.argv[1], sys.argv[2]
stores = stowfast.sync.open(url) if opened == "before" else None
if stores is not None:
    stores.messages.add_message("c", {})

def save():
    said = []
    try:
        own = stores if stores is not None else stowfast.sync.open(url)
        said.append(own.messages.add_message("c", {}))
        said.append(len(own.messages.get_messages("c")))
        own.close()
    except stowfast.StowfastError as error:
        said.append(type(error).__name__)
        try:
            if stores is not None:
                said.append(len(stores.messages.get_messages("c")))
                stores.close()
        except stowfast.StowfastError as error:
            said.append(type(error).__name__)
    print(*said, flush=True)

atexit.register(save)
"""


@pytest.mark.parametrize("opened", ["before", "there"])
def test_at_the_exit_of_the_interpreter_a_call_works_or_is_an_error_of_ours(url: str, opened: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, url, opened], capture_output=True, text=True, timeout=60, check=False
    )
    print(done.stdout)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0
    works = {"before": "1 2", "there": "0 1"}[opened]
    if url.startswith("s3"):
        assert done.stdout.split()[0] == "UnavailableError"
    else:
        assert done.stdout.strip() == works
