"""The stored and uploaded bytes of task versions: about the size of their changes, for any size of the state."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAVES = 1_000
MEGABYTE = 1_000_000
BAR = 12 * MEGABYTE

WORDS = [f"{syllable}{ending}" for syllable in ("book", "fli", "seat", "con", "pay", "can") for ending in
         ("ing", "ght", "s", "firm", "ment", "cel", "ed", "er", "able", "ation")]  # fmt: skip


def words(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=200))[:1_000]


def noise(draw: random.Random) -> str:
    return f"{draw.getrandbits(4_000):01000x}"


async def save_often(stores: stowfast.Stores, make: Callable[[random.Random], str]) -> dict[str, Any]:
    draw = random.Random(1)
    data = {"rows": [make(draw) for _ in range(1_000)]}
    version = 0
    for _ in range(SAVES):
        data["rows"][draw.randrange(1_000)] = make(draw)
        version = (await stores.tasks.save(stowfast.TaskState(task_id="t", data=data), expect=version)).version
    return data


@pytest.mark.parametrize("make", [words, noise])
async def test_a_thousand_saves_of_a_megabyte_in_a_file(make: Callable[[random.Random], str], tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with stowfast.open(f"sqlite:///{path}") as stores:
        data = await save_often(stores, make)
    size = path.stat().st_size
    print(f"{SAVES:,} saves of {MEGABYTE:,} bytes with {MEGABYTE // SAVES:,} changed: {size:,} bytes in the file")
    assert size <= BAR
    async with stowfast.open(f"sqlite:///{path}") as stores:
        state = await stores.tasks.load("t")
        assert state is not None
        assert state.data == data


@pytest.mark.parametrize("make", [words, noise])
async def test_a_thousand_saves_of_a_megabyte_uploaded(make: Callable[[random.Random], str]) -> None:
    with FaultyS3() as server:
        url = f"s3://{server.bucket}/tasks?endpoint_url={server.endpoint}"
        keys = {"access_key_id": "somebody", "secret_access_key": "secret"}
        with server.counted() as made:
            async with stowfast.open(url, **keys) as stores:
                data = await save_often(stores, make)
        uploaded = sum(record.received for record in made)
        stored = sum(map(len, server.objects.values()))
        print(f"{SAVES:,} saves of {MEGABYTE:,} bytes with {MEGABYTE // SAVES:,} changed: {uploaded:,} bytes uploaded")
        assert uploaded <= BAR
        assert stored <= BAR
        async with stowfast.open(url, **keys) as stores:
            state = await stores.tasks.load("t")
            assert state is not None
            assert state.data == data
