"""Broken backends and stores, at least one for every clause: a kit is trusted once it has failed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from stowfast.backends.memory import MemoryBackend
from stowfast.wrappers import Shared, Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stowfast.abc import Backend
    from stowfast.testing import Clause, Make

T = TypeVar("T")

MUTANTS: dict[Clause[Any], list[type]] = {}


def breaks(*clauses: Clause[Any]) -> Callable[[type[T]], type[T]]:
    """Register a broken class for the clauses it must fail."""

    def register(mutant: type[T]) -> type[T]:
        for clause in clauses:
            MUTANTS.setdefault(clause, []).append(mutant)
        return mutant

    return register


def ignores(kind: type, method: str, option: str, *clauses: Clause[Any]) -> None:
    """Register a mutant of `kind`: one method ignores one of its options."""
    breaks(*clauses)(type(f"Ignores_{option}_of_{method}", (kind,), {method: without(kind, method, option)}))


def without(kind: type, method: str, option: str) -> Callable[..., Any]:
    """Make a method that ignores an option."""

    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        options.pop(option, None)
        return getattr(kind, method)(self, *arguments, **options)

    return call


def in_memory(kind: type[MemoryBackend]) -> Make[Backend]:
    """Open one backend in memory again and again: openings share the streams, and are closed one by one."""
    backend = kind()

    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        opening = kind()
        for shared in ("_streams", "_lock", "_waiting"):
            setattr(opening, shared, getattr(backend, shared))
        try:
            yield opening
        finally:
            await MemoryBackend.close(opening)

    return make


def one(kind: type[T]) -> Make[T]:
    """Open one store again and again."""
    store = kind()

    @asynccontextmanager
    async def make() -> AsyncIterator[T]:
        yield store

    return make


def opened(mutant: type) -> Make[Any]:
    """Open a mutant again and again: a backend in memory, a wrapper around one, or a store."""
    if issubclass(mutant, MemoryBackend):
        return in_memory(mutant)
    if issubclass(mutant, Wrapper):
        backend = MemoryBackend()
        return lambda: _wrapped(mutant, backend)
    return one(mutant)


@asynccontextmanager
async def _wrapped(kind: type[Wrapper], backend: Backend) -> AsyncIterator[Backend]:
    yield kind(Shared(backend))
