"""The memory of copies and verifications does not grow with the number of streams."""

from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import moving
from stowfast.abc import Change
from stowfast.moving import selection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

FEW, MANY = 300, 1_100
PAGE = 50
MOST = 250
"""Bytes for one more stream. A head alone takes 500 at the least, and a verification keeps 73: its digest."""


async def fill(url: str, count: int) -> None:
    async with stowfast.open(url) as stores:
        labels = {"user": "ada", "title": "a" * 100}
        changes = [(f"messages/{n:06}", Change([b"x" * 50], labels=labels)) for n in range(count)]
        await stores.backend.commit_many(changes)


async def held_by(work: Callable[[Callable[[Any], None]], Awaitable[object]]) -> int:
    """Return the bytes of Python objects that some work holds after its last step."""
    held = 0

    def look(_: object) -> None:
        nonlocal held
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]

    gc.freeze()  # a look then goes through the objects of this work alone
    tracemalloc.start()
    try:
        await work(look)
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert held
    return held


async def measured(folder: Path, count: int) -> dict[str, int]:
    source, target = (f"sqlite:///{folder}/{name}-{count}.db?sweep=false" for name in "ab")
    await fill(source, count)
    found = {
        "copy": await held_by(lambda look: moving.copy(source, target, progress=look)),
        "copy again": await held_by(lambda look: moving.copy(source, target, progress=look)),
        "dry run": await held_by(lambda look: moving.copy(source, "memory:", dry_run=True, progress=look)),
        "verify": await held_by(lambda look: moving.verify(source, progress=look)),
    }
    assert (await moving.verify(target)).streams == count
    return found


@pytest.mark.slow
async def test_the_memory_of_copies_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_PAGE", PAGE)
    await measured(tmp_path, 2 * PAGE)  # what is loaded at the first use, and what fills caches
    few, many = await measured(tmp_path, FEW), await measured(tmp_path, MANY)
    grown = {work: (many[work] - few[work]) / (MANY - FEW) for work in few}
    print("\nbytes for one more stream:", {work: round(size) for work, size in grown.items()})
    assert {work: size for work, size in grown.items() if size > MOST} == {}
