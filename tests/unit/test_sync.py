"""The sync face: the same methods, from any thread, also inside an event loop, over both ways of running them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast import (
    Artifact,
    ConflictError,
    InvalidError,
    NotFoundError,
    Retention,
    TaskState,
    UnavailableError,
    registry,
)
from stowfast.abc import ALL, Query, Window
from stowfast.backends.memory import MemoryBackend
from stowfast.testing.data.messages import MESSAGES, exactly, say
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 8
EACH = 50
SECONDS = 30

FACES = {
    stowfast.sync.Messages: stowfast.Messages,
    stowfast.sync.Artifacts: stowfast.Artifacts,
    stowfast.sync.Tasks: stowfast.Tasks,
    stowfast.sync.Documents: stowfast.Documents,
    stowfast.sync.Rules: stowfast.Rules,
    stowfast.sync.Scope: stowfast.Scope,
    stowfast.sync.Stores: stowfast.Stores,
}


class OnALoop(Wrapper):
    """A backend on an event loop, always the same one, as a network driver needs it."""

    opened: list[OnALoop] = []  # noqa: RUF012 - the last is the one that a test has just opened

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.loop = asyncio.get_running_loop()
        self.closed = 0
        self.opened.append(self)

    @classmethod
    async def open(cls, url: str, *, broken: str = "") -> OnALoop:
        await asyncio.sleep(0)
        if broken:
            raise UnavailableError("it gives no answer")
        return cls()

    async def here(self) -> None:
        assert asyncio.get_running_loop() is self.loop, "a call came from another event loop"
        await asyncio.sleep(0)

    async def commit(self, *args: Any, **options: Any) -> Any:
        await self.here()
        return await super().commit(*args, **options)

    async def read(self, stream: str, window: Window = ALL) -> Any:
        await self.here()
        return await super().read(stream, window)

    async def heads(self, *args: Any, **options: Any) -> Any:
        await self.here()
        return await super().heads(*args, **options)

    async def streams(self, query: Query) -> Any:
        await self.here()
        return await super().streams(query)

    async def sweep(self, *, dry_run: bool = False) -> Any:
        await self.here()
        return await super().sweep(dry_run=dry_run)

    async def close(self) -> None:
        await self.here()
        self.closed += 1
        await super().close()


@pytest.fixture
def a_place_on_a_loop(monkeypatch) -> None:
    # Found without an import: the test runner may know this module by another name.
    load = registry._load
    monkeypatch.setitem(registry.BACKENDS, "loop", "this module")
    monkeypatch.setattr(registry, "_load", lambda scheme: OnALoop if scheme == "loop" else load(scheme))


@pytest.fixture(params=["memory", "sqlite", "loop"])
def url(request, tmp_path, a_place_on_a_loop) -> str:
    return {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/place.db", "loop": "loop:"}[request.param]


@pytest.fixture
def stores(url) -> Iterator[stowfast.sync.Stores]:
    with stowfast.sync.open(url) as opened:
        yield opened


def public(kind: type) -> dict[str, Any]:
    return {name: thing for name, thing in inspect.getmembers(kind) if not name.startswith("_") and callable(thing)}


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_it_has_the_methods_of_the_async_store_and_no_others(face):
    assert public(face).keys() == public(FACES[face]).keys()


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_signatures_and_docstrings_are_those_of_the_async_store(face):
    for name, method in public(face).items():
        original = public(FACES[face])[name]
        assert inspect.signature(method).parameters == inspect.signature(original).parameters, name
        assert inspect.getdoc(method) == inspect.getdoc(original), name
        assert not inspect.iscoroutinefunction(method), name


def test_every_part_of_the_async_stores_is_there(stores):
    parts = {name for name, part in vars(stowfast.Stores).items() if isinstance(part, functools.cached_property)}
    assert parts == {"messages", "artifacts", "tasks", "documents", "rules"}
    for name in parts:
        assert type(getattr(stores, name)).__name__ == name.capitalize()


def test_every_method_does_what_the_async_one_does(stores):
    messages, artifacts, tasks = stores.messages, stores.artifacts, stores.tasks
    assert messages.add_message("c", say(0), op_id="op") == messages.add_message("c", say(0), op_id="op") == 0
    assert messages.add_messages("c", [say(1), say(2)], expect=1) == range(1, 3)
    assert messages.get_messages("c", last=2) == [say(1), say(2)]
    assert messages.get_messages("c", max_tokens=1, count_tokens=lambda _: 1) == [say(2)]
    assert [(entry.position, entry.op_id) for entry in messages.entries("c")] == [(0, "op"), (1, None), (2, None)]
    assert messages.pop_message("c") == say(2)
    assert messages.count("c") == messages.fork("c", "d", op_id="fork") == 2
    assert messages.compact("d", keep_last=1, summary=lambda older: {"sum": len(older)}) == 1
    assert messages.get_messages("d") == [{"sum": 1}, say(1)]
    messages.set_metadata("d", {"user": "u"})
    messages.set_expiry("d", datetime(2999, 1, 1, tzinfo=UTC))
    assert messages.info("d").metadata == {"user": "u"}
    assert [one.context_id for one in messages.contexts(where={"user": "u"})] == ["d"]
    messages.delete("d")
    assert messages.get_messages("d") == []
    for body in (b"x", "text", {"json": 1}, b"x" * 10**6):
        assert artifacts.create(Artifact(artifact_id="a", content=body)).version == 1
        assert artifacts.update(Artifact(artifact_id="a", content=body), expect=1).version == 2
        assert artifacts.get("a").content == body
        assert [info.version for info in artifacts.versions("a")] == [1, 2]
        assert [info.artifact_id for info in artifacts.list()] == ["a"]
        artifacts.delete("a")
    saved = tasks.save(TaskState(task_id="t", data=[1]), expect=0)
    assert tasks.load("t") == saved == tasks.history("t")[0]
    assert [info.task_id for info in tasks.list(status="working")] == ["t"]
    tasks.delete("t")
    assert tasks.load("t") is None
    assert stores.sweep().streams == 0


def test_every_method_of_tasks_does_what_the_async_one_does(stores):
    tasks, minute = stores.tasks, timedelta(minutes=1)

    def add(state: TaskState) -> None:
        state.data.append(state.version)

    tasks.save(TaskState(task_id="t", context_id="c", data=[0]))
    assert tasks.update("t", add).data == [0, 1]
    assert tasks.diff("t", 1, 2) == [{"op": "add", "path": "/1", "value": 1}]
    assert tasks.rewind("t", 1).version == 3
    assert tasks.load("t", version=2).data == [0, 1]
    lease = tasks.claim_next("w", minute, context_id="c")
    assert tasks.info("t").lease == lease
    assert tasks.renew(lease, 2 * minute).token == lease.token
    with pytest.raises(ConflictError) as caught:
        tasks.claim("t", "v", minute)
    assert caught.value.owner == "w"
    assert tasks.record("t", "k", {"n": 1}, lease=lease) == tasks.record("t", "k", 2) == {"n": 1}
    assert tasks.steps("t") == tasks.load("t").steps == {"k": {"n": 1}}
    assert tasks.save(TaskState(task_id="t", data=[]), lease=lease).steps == {}
    tasks.release(lease)
    assert tasks.claim("t", "v", minute).token > lease.token
    with pytest.raises(ConflictError):
        tasks.save(TaskState(task_id="t"), lease=lease)
    assert tasks.prune("t", keep=1) == 3
    tasks.set_expiry("t", datetime(2999, 1, 1, tzinfo=UTC))
    assert tasks.info("t").expires_at == datetime(2999, 1, 1, tzinfo=UTC)
    assert tasks.retention == Retention()
    tasks.retention = Retention(versions=1)
    tasks.save(TaskState(task_id="t", data=[]))
    assert [state.version for state in tasks.history("t")] == [5]


def test_errors_are_the_same(stores):
    stores.messages.add_message("c", say(0))
    with pytest.raises(InvalidError):
        stores.messages.add_message("", say(0))
    with pytest.raises(ConflictError) as caught:
        stores.messages.add_messages("c", [say(1)], expect=5)
    assert caught.value.current == 1
    with pytest.raises(NotFoundError):
        stores.messages.fork("unknown", "d")
    with pytest.raises(InvalidError):
        list(stores.messages.entries(""))


def test_messages_come_back_exactly(stores):
    stores.messages.add_messages("c", MESSAGES)
    exactly(stores.messages.get_messages("c"), list(MESSAGES), "messages")


def test_from_any_thread_each_in_its_own_order(stores):
    def write(writer: int) -> list[int]:
        return [stores.messages.add_message("c", {"writer": writer, "n": number}) for number in range(EACH)]

    with ThreadPoolExecutor(THREADS) as threads:
        positions = list(threads.map(write, range(THREADS)))
    entries = list(stores.messages.entries("c"))
    assert [entry.position for entry in entries] == list(range(THREADS * EACH))
    for writer, own in enumerate(positions):
        assert own == [entry.position for entry in entries if entry.message["writer"] == writer]
        assert [entries[position].message["n"] for position in own] == list(range(EACH))


async def test_inside_a_running_event_loop(url):
    with stowfast.sync.open(url) as stores:
        assert stores.messages.add_message("c", say(0)) == 0
        assert [entry.message for entry in stores.messages.entries("c")] == [say(0)]
        assert await asyncio.to_thread(stores.messages.get_messages, "c") == [say(0)]


async def test_beside_the_async_face(tmp_path):
    url = f"sqlite:///{tmp_path}/place.db"
    async with stowfast.open(url) as here:
        with stowfast.sync.open(url) as there:
            for number in range(10):
                await here.messages.add_message("c", say(number))
                there.messages.add_message("c", say(number))
            assert await here.messages.get_messages("c") == there.messages.get_messages("c")


def test_a_store_may_be_used_while_it_is_iterated(stores):
    stores.messages.add_messages("c", [say(number) for number in range(5)])
    for entry in stores.messages.entries("c"):
        stores.messages.add_message("copy", entry.message)
    assert stores.messages.get_messages("copy") == stores.messages.get_messages("c")


def test_an_iterator_may_be_left_early(stores):
    stores.messages.add_messages("c", [{"fill": "x" * 300_000}] * 8)
    iterator = stores.messages.entries("c")
    assert next(iterator).position == 0
    iterator.close()
    assert list(iterator) == []
    for entry in stores.messages.watch("c", after=5):
        if entry.position == 7:
            break
    assert stores.messages.count("c") == 8


def test_watching_hears_of_other_threads(stores):
    heard: list[int] = []
    first = threading.Event()

    def watch() -> None:
        for entry in stores.messages.watch("c", after=-1):
            heard.append(entry.position)
            first.set()
            if entry.position == 9:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    stores.messages.add_message("c", say(0))
    assert first.wait(SECONDS)
    for number in range(1, 10):
        stores.messages.add_message("c", say(number))
    watcher.join(SECONDS)
    assert not watcher.is_alive()
    assert heard == list(range(10))


def test_closing_twice_is_closing_once(url):
    stores = stowfast.sync.open(url)
    stores.messages.add_message("c", say(0))
    stores.close()
    stores.close()
    with stores:
        pass
    if url == "loop:":
        assert OnALoop.opened[-1].closed == 1


USES: list[Callable[[stowfast.sync.Stores], object]] = [
    lambda stores: stores.messages.add_message("c", say(0)),
    lambda stores: stores.messages.get_messages("c"),
    lambda stores: list(stores.messages.entries("c")),
    lambda stores: next(stores.messages.watch("c")),
    lambda stores: stores.artifacts.create(Artifact(artifact_id="a", content=b"x" * 10**6)),
    lambda stores: stores.artifacts.get("a"),
    lambda stores: stores.tasks.save(TaskState(task_id="t")),
    lambda stores: stores.tasks.list(),
    lambda stores: stores.sweep(),
]


@pytest.mark.parametrize("use", USES)
def test_nothing_is_used_after_closing(url, use):
    stores = stowfast.sync.open(url)
    stores.close()
    with pytest.raises(InvalidError, match="closed"):
        use(stores)


def test_the_portal_is_one_thread_and_ends(a_place_on_a_loop):
    before = set(threading.enumerate())
    with stowfast.sync.open("loop:") as stores:
        stores.messages.add_message("c", say(0))
        assert [thread.name for thread in set(threading.enumerate()) - before] == ["stowfast-portal"]
    assert set(threading.enumerate()) <= before
    with pytest.raises(UnavailableError):
        stowfast.sync.open("loop:", broken="yes")
    assert set(threading.enumerate()) <= before


def test_what_is_in_place_has_no_thread_of_its_own():
    before = set(threading.enumerate())
    with stowfast.sync.open("memory:") as stores:
        stores.messages.add_message("c", say(0))
        assert set(threading.enumerate()) <= before
