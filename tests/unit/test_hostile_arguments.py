"""Hostile arguments: each public method takes any value or raises an error of ours, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import os
import re
import reprlib
from dataclasses import fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast import Artifact, InvalidError, Retention, StowfastError, TaskState, moving, sqlite
from stowfast.backends.objects.driver.options import SCHEMES, parse_options
from stowfast.backends.postgres.options import PARAMETERS
from stowfast.backends.postgres.options import parse_options as parse_postgres_options
from tests.unit.public_calls import ARGUMENTS, of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path


class Hostile:
    """An object with special methods that all raise."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    __str__ = __repr__

    def __eq__(self, _: object) -> bool:
        raise ZeroDivisionError("eq")

    def __hash__(self) -> int:
        raise ZeroDivisionError("hash")

    def __lt__(self, _: object) -> bool:
        raise ZeroDivisionError("lt")

    __gt__ = __le__ = __ge__ = __lt__


class HostileText(str):
    """Text with special methods that raise: a subclass of str passes each check of a type."""

    __slots__ = ()

    def __repr__(self, *_: object) -> str:
        raise ZeroDivisionError("repr")

    __str__ = __format__ = __repr__

    def encode(self, *_: object) -> bytes:
        raise ZeroDivisionError("encode")


class HostileNumber(int):
    """A number with special methods that raise."""

    __slots__ = ()

    def __repr__(self, *_: object) -> str:
        raise ZeroDivisionError("repr")

    __str__ = __format__ = __repr__


class HostileMapping(dict[str, Any]):
    """A dict with a method that raises."""

    def items(self) -> Any:
        raise ZeroDivisionError("items")

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")


def values() -> list[Any]:
    itself: list[Any] = []
    itself.append(itself)
    shared: list[Any] = []
    for _ in range(40):
        shared = [shared, shared]
    deep: Any = None
    for _ in range(5_000):
        deep = {"k": deep}
    huge = 10**5_000
    return [
        huge, -huge, 2**63, -(2**63) - 1, 2**64, True, False, 0, -1, 5, 1.5, math.nan, math.inf, -math.inf, 1j,
        None, "", "\ud800", "a\udfff", "a\0b", "x" * 2_000, b"", b"x", bytearray(b"x"),
        memoryview(b"x"),
        HostileText("h"), HostileText(""), HostileNumber(1), HostileNumber(-1), HostileMapping(k=1), HostileMapping(),
        {HostileText("h"): 1}, [HostileText("h")], {"k": HostileText("h")}, {"k": HostileNumber(1)},
        Hostile(), [Hostile()], {"k": Hostile()}, {1: 2}, {"\ud800": 1}, {"k": "\ud800"}, {"k": huge},
        {None: None}, {("a",): 1},
        [], [1], [[1]], [None], ["\ud800"], (), ("a",), set(), {1}, frozenset(),
        itself, {"k": itself}, shared, deep, object(),
        range(3), iter([]), (x for x in [1, {}]),
        datetime(2020, 1, 1), datetime.min,  # noqa: DTZ001, DTZ901
        timedelta(0), timedelta.max, timedelta.min, -timedelta(seconds=1),
        Artifact(artifact_id=5), TaskState(task_id="\ud800"), Retention(versions=0), Ellipsis,  # type: ignore[arg-type]
    ]  # fmt: skip


POSTGRES: dict[str, Any] = {
    "schema": "stowfast", "durability": "full", "timeout": 30, "pool": 8, "migrate": True, "notify": True,
    "parameters": {},
}  # fmt: skip
"""Options of PostgreSQL that are taken."""

shortly = reprlib.Repr()
shortly.maxlevel = 3


def name_of(value: object) -> str:
    if isinstance(value, Artifact | TaskState):
        return type(value).__name__  # its repr has no bound
    try:
        return re.sub(r"0x\w+", "", shortly.repr(value))[:40]
    except Exception:  # noqa: BLE001 - that is its way
        return type(value).__name__


def records(name: str, argument: str) -> list[Any]:
    """Return records with one hostile field each."""
    if argument == "artifact":
        good: Any = Artifact(artifact_id="b" if name == "update" else "n", content=b"x")
    elif argument == "state":
        good = TaskState(task_id="t")
    else:
        return []
    made = []
    for field in fields(good):
        if field.init:
            for value in values():
                with contextlib.suppress(StowfastError):
                    made.append(replace(good, **{field.name: value}))
    return made


def use(call: Any) -> None:
    made = call()
    if hasattr(made, "__next__"):
        next(made, None)
        made.close()
    elif hasattr(made, "__enter__"):
        with made:
            pass


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stowfast.sync.Stores]:
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/agent.db?durability=relaxed"}[request.param]
    with stowfast.sync.open(url) as opened:
        yield opened


@pytest.mark.parametrize(("store", "name"), [(store, name) for store, methods in ARGUMENTS.items() for name in methods])
def test_every_argument_is_taken_or_refused(stores: stowfast.sync.Stores, store: str, name: str) -> None:
    method = getattr(of(stores, store), name)
    good = ARGUMENTS[store][name]
    raw: dict[str, str] = {}
    for argument in inspect.signature(method).parameters:
        if (name, argument) == ("watch", "after"):
            continue  # a position that is taken waits for its message
        for value in [*values(), *records(name, argument)]:
            stores.messages.add_message("c", {})
            if stores.tasks.info("t") is None:
                stores.tasks.save(TaskState(task_id="t"))
            if stores.artifacts.info("b") is None:
                stores.artifacts.create(Artifact(artifact_id="b", content=b"y"))
            fault = fault_of(lambda value=value, argument=argument: method(**{**good, argument: value}))
            if fault is not None:
                raw.setdefault(f"{argument}: {fault}", name_of(value))
    assert raw == {}


def fault_of(call: Any) -> str | None:
    """Carry out a call. Return its fault: an error that is not ours, or one that nobody can read."""
    try:
        use(call)
    except StowfastError as error:
        return f"a text of {len(str(error)):,} characters" if len(str(error)) > 2_000 else None
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        where = [frame for frame in inspect.trace() if f"{os.sep}stowfast{os.sep}" in frame.filename][-1]
        return f"{type(error).__name__} {str(error)[:50]} at {where.filename[-40:]}:{where.lineno}"
    return None


def used(stores: stowfast.sync.Stores) -> dict[str, Any]:
    """Return the calls that are in no table, by name: of the stores as a whole, of rules, leases and tables."""
    stores.tasks.save(TaskState(task_id="t"))
    lease = stores.tasks.claim("t", owner="w", ttl=timedelta(hours=1))
    with stores.artifacts.open_dataset("rows") as dataset:
        dataset.append([{"n": 1}])
    keep = Retention(count=1)
    return {
        "within": lambda value: stores.within(value).messages.add_message("c", {}),
        "delete_context": stores.delete_context,
        "rules.set: kind": lambda value: stores.rules.set(value, keep),
        "rules.set: retention": lambda value: stores.rules.set("messages", value),
        "rules.set: prefix": lambda value: stores.rules.set("messages", keep, prefix=value),
        "rules.set: where": lambda value: stores.rules.set("messages", keep, where=value),
        "rules.set: scope": lambda value: stores.rules.set("messages", keep, scope=value),
        "rules.remove: kind": stores.rules.remove,
        "rules.remove: where": lambda value: stores.rules.remove("messages", where=value),
        "age": lambda value: stores.rules.set("messages", Retention(age=value)),
        "versions": lambda value: stores.rules.set("tasks", Retention(versions=value)),
        "count": lambda value: stores.rules.set("messages", Retention(count=value)),
        "bytes": lambda value: stores.rules.set("messages", Retention(bytes=value)),
        "renew": lambda value: stores.tasks.renew(value, timedelta(minutes=1)),
        "renew: ttl": lambda value: stores.tasks.renew(lease, value),
        "release": stores.tasks.release,
        "save: lease": lambda value: stores.tasks.save(TaskState(task_id="t"), lease=value),
        "record: lease": lambda value: stores.tasks.record("t", "k", 1, lease=value),
        "to_arrow": stores.artifacts.to_arrow,
        "to_arrow: version": lambda value: stores.artifacts.to_arrow("rows", version=value),
        "write": lambda value: write(stores, value),
    }


def opened(url: Any, **options: Any) -> None:
    stowfast.sync.open(url, **options).close()


def moved(call: Callable[[Any], Coroutine[Any, Any, object]]) -> Callable[[Any], object]:
    return lambda value: asyncio.run(call(value))


OUTSIDE: dict[str, Any] = {
    "to_json": stowfast.to_json,
    "sqlite.backup: source": lambda value: sqlite.backup(value, "no/such/folder/copy.db"),
    "sqlite.backup: target": lambda value: sqlite.backup("no/such/file.db", value),
    "sqlite.restore: source": lambda value: sqlite.restore(value, "no/such/folder/copy.db"),
    "sqlite.restore: target": lambda value: sqlite.restore("no/such/file.db", value),
    "sqlite.compact: path": sqlite.compact,
    "sqlite.compact: timeout": lambda value: sqlite.compact("no/such/file.db", timeout=value),
    "moving.copy: source": moved(lambda value: moving.copy(value, "memory:")),
    "moving.copy: target": moved(lambda value: moving.copy("memory:", value)),
    "moving.copy: into": moved(lambda value: moving.copy("memory:", "memory:", into=value)),
    "moving.verify": moved(moving.verify),
    "moving.find: kinds": moved(lambda value: moving.find("memory:", moving.Selection(kinds=value))),
    "moving.find: prefix": moved(lambda value: moving.find("memory:", moving.Selection(prefix=value))),
    "moving.find: where": moved(lambda value: moving.find("memory:", moving.Selection(where=value))),
    "moving.find: since": moved(lambda value: moving.find("memory:", moving.Selection(since=value))),
    "moving.erase: where": moved(lambda value: moving.erase("memory:", moving.Selection(where=value))),
    "moving.generations": moved(moving.generations),
    "moving.generation_at": moved(lambda value: moving.generation_at("no/such/folder", value)),
    "open": opened,
    "SQLite: timeout": lambda value: opened("sqlite:///no/such/folder/agent.db", timeout=value),
    "SQLite: sweep": lambda value: opened("sqlite:///no/such/folder/agent.db", sweep=value),
    "SQLite: durability": lambda value: opened("sqlite:///no/such/folder/agent.db", durability=value),
    **{
        f"{scheme}: {option}": lambda value, scheme=scheme, option=option: parse_options(scheme, {option: value})
        for scheme, options in SCHEMES.items()
        for option in options
    },
    **{
        f"postgresql: {name}": lambda value, name=name: postgres_options(**{name: value})
        for name in POSTGRES
        if name != "parameters"
    },
    **{
        f"postgresql: {name}": lambda value, name=name: postgres_options(parameters={name: value})
        for name in PARAMETERS
    },
}
"""Calls without stores, by name."""


def postgres_options(**changed: Any) -> None:
    parse_postgres_options(**{**POSTGRES, **changed})


@pytest.mark.parametrize("name", OUTSIDE)
def test_every_option_is_taken_or_refused(name: str) -> None:
    raw: dict[str, str] = {}
    for value in values():
        fault = fault_of(lambda value=value: OUTSIDE[name](value))
        if fault is not None:
            raw.setdefault(fault, name_of(value))
    assert raw == {}


def write(stores: stowfast.sync.Stores, row: Any) -> None:
    with stores.artifacts.open_dataset("written") as dataset:
        dataset.append([row])


def test_every_other_argument_is_taken_or_refused(stores: stowfast.sync.Stores) -> None:
    raw: dict[str, str] = {}
    for name, call in used(stores).items():
        for value in values():
            fault = fault_of(lambda call=call, value=value: call(value))
            if fault is not None:
                raw.setdefault(f"{name}: {fault}", name_of(value))
    assert raw == {}


@pytest.mark.parametrize("url", ["memory:", "sqlite:"])
def test_a_subclass_of_text_is_no_id(url: str, tmp_path: Path) -> None:
    """An Enum of text prints as its name: the id would depend on the release of Python."""

    class Chat(str, Enum):  # noqa: UP042 - the form that prints as its name
        ADA = "chat-1"

    with stowfast.sync.open(url if url == "memory:" else f"sqlite:///{tmp_path}/agent.db") as stores:
        with pytest.raises(InvalidError, match=r"context_id must be a str, not Chat: give \.value"):
            stores.messages.add_message(Chat.ADA, {})
        with pytest.raises(InvalidError, match=r"an op_id must be a str, not HostileText: give str\(\.\.\.\)"):
            stores.messages.add_message("c", {}, op_id=HostileText("op"))
        with pytest.raises(InvalidError, match=r"owner must be a str, not Chat: give \.value"):
            stores.tasks.claim("t", owner=Chat.ADA, ttl=timedelta(minutes=1))
        assert stores.messages.contexts().items == []
