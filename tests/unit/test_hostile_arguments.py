"""Hostile arguments: each public method takes any value or raises an error of ours, and ends."""

from __future__ import annotations

import contextlib
import inspect
import math
import re
import reprlib
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast import Artifact, Retention, StowfastError, TaskState
from tests.unit.public_calls import ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
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
        Hostile(), [Hostile()], {"k": Hostile()}, {1: 2}, {"\ud800": 1}, {"k": "\ud800"}, {"k": huge},
        {None: None}, {("a",): 1},
        [], [1], [[1]], [None], ["\ud800"], (), ("a",), set(), {1}, frozenset(),
        itself, {"k": itself}, shared, deep, object(),
        range(3), iter([]), (x for x in [1, {}]),
        datetime(2020, 1, 1), datetime.min,  # noqa: DTZ001, DTZ901
        timedelta(0), timedelta.max, timedelta.min, -timedelta(seconds=1),
        Artifact(artifact_id=5), TaskState(task_id="\ud800"), Retention(versions=0), Ellipsis,  # type: ignore[arg-type]
    ]  # fmt: skip


shortly = reprlib.Repr()
shortly.maxlevel = 3


def name_of(value: object) -> str:
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
    method = getattr(getattr(stores, store), name)
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
            try:
                use(lambda value=value, argument=argument: method(**{**good, argument: value}))
            except StowfastError as error:
                if len(str(error)) > 2_000:
                    raw.setdefault(f"{argument}: a text of {len(str(error)):,} characters", name_of(value))
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                where = inspect.trace()[-1]
                raw.setdefault(
                    f"{argument}: {type(error).__name__} {str(error)[:50]} at {where.filename[-40:]}:{where.lineno}",
                    name_of(value),
                )
    assert raw == {}
