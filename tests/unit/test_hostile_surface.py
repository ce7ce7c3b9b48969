"""Hostile arguments of all that is public and in no store: both faces take any value or raise an error of ours."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast import Artifact, NotFoundError, Retention, StowfastError, TaskState, moving, wrappers
from stowfast.abc import MAX_NAME_BYTES
from stowfast.backends.memory import MemoryBackend
from tests.unit.importing.sources import messages, sessions
from tests.unit.public_calls import ARGUMENTS, of
from tests.unit.public_surface import BACKEND, CONSTRUCTORS, FUNCTIONS, HANDLES, MODULES, Scene, names_of
from tests.unit.test_hostile_arguments import fault_of, name_of, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

SECONDS = 3
IN_THE_STORES = {
    *("Artifacts", "Documents", "Messages", "Rules", "Scope", "Stores", "Tasks"),
    *("InMemoryArtifactStore", "InMemoryMessageStore", "InMemoryTaskStateStore"),
    *("ArtifactWriter", "DatasetWriter", "LiveWriter"),
}
WAITS = {("watch", "after"), ("wait", "timeout"), ("wait", "next"), ("wait", "incarnation"), ("changes", "wait")}
"""Arguments that make a call wait for something, as they should."""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    with stowfast.sync.open(f"sqlite:///{tmp_path}/agent.db") as file:
        file.messages.add_message("c", {})
    sessions(tmp_path / "theirs.db", {"a": messages(2)})
    async with stowfast.open("memory:") as stores:
        await prepare(stores)
        one, _ = await moving.add_generation(stores, f"{tmp_path}/kept/")
        yield Scene(tmp_path, stores, itertools.count(), one)


async def prepare(stores: stowfast.Stores) -> None:
    await stores.messages.add_message("c", {})
    if await stores.tasks.info("t") is None:
        await stores.tasks.save(TaskState(task_id="t"))
    if await stores.artifacts.info("b") is None:
        await stores.artifacts.create(Artifact(artifact_id="b", content=b"y"))


async def use(call: Callable[[], Any]) -> None:
    """Carry out a call of either face, and what it returns."""
    made = call()
    if inspect.isawaitable(made):
        made = await made
    if hasattr(made, "__anext__"):
        with suppress(StopAsyncIteration):
            await anext(made)
        await made.aclose()
    elif hasattr(made, "__aenter__"):
        async with made:
            pass
    elif hasattr(made, "__next__"):
        next(made, None)
        made.close()
    elif hasattr(made, "close"):
        closing = made.close()
        if inspect.isawaitable(closing):
            await closing


async def faults(
    make: Callable[[], Awaitable[Callable[..., Any]]], good: Callable[[], dict[str, Any]], *, of_its_type: bool = False
) -> dict[str, str]:
    """Give a call each hostile value for each argument. Return its faults, each with the value that found it."""
    raw: dict[str, str] = {}
    method = await make()
    valid = good()
    parameters = inspect.signature(method).parameters
    for name, parameter in parameters.items():
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            continue
        may_wait = (getattr(method, "__name__", ""), name) in WAITS
        for value in [*values(), *variants(valid.get(name, parameter.default))]:
            if of_its_type and not (type(value) is type(valid.get(name)) and is_plain(value)):
                continue
            method = await make()
            arguments = {**good(), name: value}
            at = [one for one, other in parameters.items() if other.kind is other.POSITIONAL_ONLY]
            positional = [arguments.pop(one) for one in at if one in arguments]
            error: BaseException | None = None
            try:
                async with asyncio.timeout(0.05 if may_wait else SECONDS):
                    await use(partial(method, *positional, **arguments))
            except Exception as caught:  # noqa: BLE001 - fault_of tells which of them is a fault
                error = caught
            if may_wait and isinstance(error, TimeoutError):
                continue
            if isinstance(error, OSError) and isinstance(error.__cause__, StowfastError):
                continue  # as a file does it
            if (fault := fault_of(lambda error=error: raised(error))) is not None:
                raw.setdefault(f"{name}: {fault}", name_of(value))
    return raw


def variants(record: Any) -> list[Any]:
    """Return a record of an argument with one hostile field each."""
    if isinstance(record, moving.Selection):
        return [record._replace(**{name: value}) for name in record._fields for value in values()]
    if isinstance(record, Retention):
        return [replace(record, **{one.name: value}) for one in fields(record) for value in values()]
    return []


def is_plain(value: object) -> bool:
    """Return True for a number, and for a text that may be the name of a stream."""
    return type(value) in (int, float) or (type(value) is str and len(value) < MAX_NAME_BYTES)


def raised(error: BaseException | None) -> None:
    if error is not None:
        raise error


def test_everything_public_is_called() -> None:
    public = {name for module in MODULES for name in names_of(module)}
    in_stores = {name for name in public if name.rpartition(".")[2] in IN_THE_STORES}
    assert public - in_stores - {"moving.MovingBackend"} == {*FUNCTIONS, *CONSTRUCTORS} - {"stowfast.open"}
    for name in wrappers.__all__:
        made = getattr(wrappers, name)
        methods = {one for one in dir(made) if not one.startswith("_") and callable(getattr(made, one))}
        assert methods == set(BACKEND), name


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_every_argument_of_a_function(name: str, scene: Scene) -> None:
    call, good = FUNCTIONS[name]

    async def made() -> Any:
        return call

    with suppress(NotFoundError):
        await use(lambda: call(**good(scene)))
    assert await faults(made, lambda: good(scene)) == {}


@pytest.mark.parametrize("name", CONSTRUCTORS)
async def test_every_argument_of_a_class(name: str, scene: Scene) -> None:
    call, good = CONSTRUCTORS[name]

    async def made() -> Any:
        return call

    found = await faults(made, lambda: good(scene))
    # A backend of another type is the fault of its first call.
    assert {fault: value for fault, value in found.items() if not fault.startswith("backend: ")} == {}


@pytest.mark.parametrize(("store", "name"), [(store, name) for store, methods in ARGUMENTS.items() for name in methods])
async def test_every_argument_of_the_async_face(store: str, name: str, scene: Scene) -> None:
    async def made() -> Any:
        await prepare(scene.stores)
        return getattr(of(scene.stores, store), name)

    assert await faults(made, lambda: ARGUMENTS[store][name]) == {}


@pytest.mark.parametrize("face", ["async", "sync"])
@pytest.mark.parametrize(("opens", "name"), [(opens, name) for opens, methods in HANDLES.items() for name in methods])
async def test_every_argument_of_what_is_opened(opens: str, name: str, face: str, scene: Scene) -> None:
    if name == "content" and face == "sync":
        return  # of a file, which has none

    async def made() -> Any:
        await prepare(scene.stores)
        id = "b" if opens == "open_reader" else f"new-{next(scene.number)}"
        if face == "sync":
            store = stowfast.sync.over(scene.stores).artifacts
            handle: Any = getattr(store, opens)(id).__enter__()
        else:
            handle = await getattr(scene.stores.artifacts, opens)(id).__aenter__()
        return getattr(handle, name)

    assert await faults(made, lambda: HANDLES[opens][name]) == {}


@pytest.mark.parametrize("name", BACKEND)
@pytest.mark.parametrize("wrapper", wrappers.__all__)
async def test_every_argument_of_a_wrapper(wrapper: str, name: str) -> None:
    async def made() -> Any:
        backend = MemoryBackend()
        kind = getattr(wrappers, wrapper)
        return getattr(kind(backend, "p/") if wrapper == "Prefixed" else kind(backend), name)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    more = {"chunks": chunks()} if name == "write_blob" else {}
    # A backend is called by stores and by those who write them: of the declared type, but with any value of it.
    assert await faults(made, lambda: {**BACKEND[name], **more}, of_its_type=True) == {}
