"""Broken places, one for every clause: a kit is trusted only when it has been seen to say no."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from stowfast.backends.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stowfast.abc import Backend
    from stowfast.testing import Clause, Make

T = TypeVar("T")

MUTANTS: dict[Clause[Any], list[type]] = {}


def breaks(*clauses: Clause[Any]) -> Callable[[type[T]], type[T]]:
    """Say which clauses a broken class must fail."""

    def register(mutant: type[T]) -> type[T]:
        for clause in clauses:
            MUTANTS.setdefault(clause, []).append(mutant)
        return mutant

    return register


def in_memory(kind: type[MemoryBackend]) -> Make[Backend]:
    """Open one place in memory again and again: each opening is closed on its own, what it holds is shared."""
    place = kind()

    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        opening = kind()
        for shared in ("_streams", "_lock", "_waiting"):
            setattr(opening, shared, getattr(place, shared))
        try:
            yield opening
        finally:
            await MemoryBackend.close(opening)

    return make


def one(kind: type[T]) -> Make[T]:
    """Hand out one store again and again."""
    store = kind()

    @asynccontextmanager
    async def make() -> AsyncIterator[T]:
        yield store

    return make


def opened(mutant: type) -> Make[Any]:
    return in_memory(mutant) if issubclass(mutant, MemoryBackend) else one(mutant)
