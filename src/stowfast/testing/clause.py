"""A clause, the run of a list of clauses, and the helper functions of clauses.

A clause is `async def a_repeat_adds_nothing(make) -> None`: its docstring is a sentence of the contract, each call
of `make()` opens the same backend again, also while it is open, and the clause raises AssertionError or returns.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from stowfast.abc import Change, Query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from stowfast.abc import Backend, Receipt

__all__ = ["SECONDS_A_CLAUSE", "Clause", "Make", "Result", "clauses", "run"]

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

Make: TypeAlias = Callable[[], AbstractAsyncContextManager[T]]
Clause: TypeAlias = Callable[[Make[T]], Coroutine[Any, Any, None]]

_PATIENCE: Final = 20.0
SECONDS_A_CLAUSE: Final = 120.0
"""A clause that takes longer has hung, and fails."""


class Result(NamedTuple):
    """The result of one clause."""

    name: str
    sentence: str
    passed: bool
    seconds: float
    error: Exception | None
    """Why it did not pass: an AssertionError, or the error that the backend raised instead of keeping its promise."""


async def run(clauses: Iterable[Clause[T]], make: Make[T]) -> list[Result]:
    """Run the clauses in order. One that fails or hangs does not keep the next from running."""
    results = []
    for clause in clauses:
        sentence = " ".join((inspect.getdoc(clause) or "").split())
        error: Exception | None = None
        began = time.perf_counter()
        try:
            async with asyncio.timeout(SECONDS_A_CLAUSE):
                await clause(make)
        except Exception as caught:  # noqa: BLE001 - any error is the result
            error = caught
        results.append(Result(clause.__name__, sentence, error is None, time.perf_counter() - began, error))
    return results


def clauses(module: str) -> tuple[Clause[Any], ...]:
    """Return the clauses that a module defines, in the order written, so that none can be written and forgotten."""
    defined = vars(sys.modules[module]).items()
    return tuple(
        thing
        for name, thing in defined
        if inspect.iscoroutinefunction(thing) and thing.__module__ == module and not name.startswith("_")
    )


# Functions and not `assert`: a shipped clause fails under `python -O` too, and names the found value without pytest.


def same(found: object, wanted: object, subject: str) -> None:
    """Raise unless two values are equal."""
    if found != wanted:
        raise AssertionError(f"{subject}: found {_brief(found)}, not {_brief(wanted)}")


def holds(fact: object, subject: str) -> None:
    """Raise unless a fact holds."""
    if not fact:
        raise AssertionError(subject)


async def raises(kind: type[E], call: Awaitable[object], subject: str) -> E:
    """Return the error of this kind that a call raises; any other outcome is an AssertionError."""
    try:
        found = await call
    except kind as error:
        return error
    except Exception as error:
        raise AssertionError(f"{subject}: {type(error).__name__} ({error}) came instead of {kind.__name__}") from error
    raise AssertionError(f"{subject}: {_brief(found)} came instead of {kind.__name__}")


def unique(subject: str = "stream") -> str:
    """Return an unused name, so that one backend serves all clauses, beside other content."""
    return f"check/{subject}-{secrets.token_hex(6)}"


def numbered(count: int) -> list[bytes]:
    """Return small entries that tell each other apart."""
    return [b"%d" % number for number in range(count)]


def told(change: Change) -> str:
    """Describe a change by the fields that differ from their defaults."""
    asked = {field: value for field, value in change._asdict().items() if value != Change._field_defaults[field]}
    return f"Change({', '.join(f'{field}={value!r}' for field, value in asked.items())})"


async def append(backend: Backend, stream: str, *entries: bytes) -> Receipt:
    """Commit entries, and nothing else."""
    return await backend.commit(stream, Change(entries=entries))


async def tick(backend: Backend) -> None:
    """Change an own stream until the backend's clock, as a listing shows it, has moved on: S3's counts seconds."""
    stream, times = unique("tick"), set[int]()
    deadline = time.monotonic() + _PATIENCE
    while len(times) < 2:
        holds(time.monotonic() < deadline, f"the clock of the backend moves within {_PATIENCE:g} s")
        await append(backend, stream, b"x")
        times.add((await backend.streams(Query(stream, order="recent"))).streams[0].updated_at)


async def stored(backend: Backend, stream: str) -> list[bytes]:
    """Read the bytes of every entry."""
    return [entry.data for entry in (await backend.read(stream)).entries]


async def positions(backend: Backend, stream: str) -> list[int]:
    """Read the position of every entry."""
    return [entry.position for entry in (await backend.read(stream)).entries]


async def either(call: Awaitable[T], kind: type[E]) -> T | E:
    """Return what a racing call returned, or the error with which it may lose."""
    try:
        return await call
    except kind as error:
        return error


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:120]}... ({len(text):,} characters) ...{text[-60:]}"
