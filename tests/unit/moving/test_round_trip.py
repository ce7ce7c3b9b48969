"""A place goes from memory to a file, to a bucket and to a file again, and the last is as the first was."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import moving
from tests.amount import part
from tests.unit.moving.places import content, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.s3 import S3Server

TOGETHER = 500
LOOKED_AT = 20
"""Streams of each kind that are compared by the methods of the stores."""


async def fill_many(stores: stowfast.Stores, conversations: int, artifacts: int, tasks: int) -> None:
    """Store so many of each, and a few with every peculiarity."""
    await fill(stores)
    for start in range(0, conversations, TOGETHER):
        numbers = range(start, min(start + TOGETHER, conversations))
        for n in numbers:
            messages = [{"role": "user", "content": f"message {m} of {n}"} for m in range(n % 7 + 1)]
            await stores.messages.add_messages(f"talk-{n}", messages, op_id=f"op-{n}")
            if n % 3 == 0:
                await stores.messages.set_metadata(f"talk-{n}", {"user": f"user-{n % 50}", "n": n})
            if n % 11 == 0:
                await stores.messages.pop_message(f"talk-{n}")
    for n in range(artifacts):
        for version in range(n % 3 + 1):
            body = f"version {version} of {n} ".encode() * (8_000 if n % 10 == 0 else 10)
            await stores.artifacts.put(stowfast.Artifact(artifact_id=f"file-{n}", content=body))
    for n in range(tasks):
        for step in range(n % 4 + 1):
            data = {"step": step, "of": n, "text": "z" * 300}
            await stores.tasks.save(stowfast.TaskState(task_id=f"task-{n}", data=data, context_id=f"talk-{n}"))


async def told(stores: stowfast.Stores, conversations: int, artifacts: int, tasks: int) -> list[Any]:
    """Return what the methods of the stores say about some streams of each kind, and what lists say of all."""
    found: list[Any] = []
    for n in range(0, conversations, max(1, conversations // LOOKED_AT)):
        name = f"talk-{n}"
        entries = [entry async for entry in stores.messages.entries(name)]
        found += [await stores.messages.get_messages(name), entries, await stores.messages.info(name)]
    for n in range(0, artifacts, max(1, artifacts // LOOKED_AT)):
        found += [await stores.artifacts.get(f"file-{n}"), await stores.artifacts.versions(f"file-{n}")]
    for n in range(0, tasks, max(1, tasks // LOOKED_AT)):
        found += [await stores.tasks.load(f"task-{n}"), await stores.tasks.history(f"task-{n}")]
    after = None
    while True:
        page = await stores.messages.contexts(order="id", after=after, limit=1_000)
        found += [(ref.context_id, ref.updated_at) for ref in page]
        after = page.next
        if after is None:
            return found


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(
    "amounts",
    [(300, 60, 40), pytest.param((part(10_000), part(1_000), part(500)), marks=pytest.mark.soak)],
    ids=["few", "many"],
)
async def test_the_last_place_is_as_the_first_was(
    amounts: tuple[int, int, int], tmp_path: Path, s3_server: S3Server
) -> None:
    places = [f"sqlite:///{tmp_path}/first.db", s3_server.url(), f"sqlite:///{tmp_path}/last.db"]
    async with stowfast.open("memory:") as source:
        await fill_many(source, *amounts)
        clean = await moving.verify(source)
        wanted, before = await content(source.backend), await told(source, *amounts)
        copied = await moving.copy(source, places[0])
        assert copied.complete
        assert copied.checked == copied.selected == clean.streams
    for one, other in pairwise(places):
        copied = await moving.copy(one, other)
        assert copied.complete
        assert copied.checked == clean.streams
    for place in places:
        found = await moving.verify(place)
        assert (found.damaged, found.kinds, found.digest) == ([], clean.kinds, clean.digest)
    async with stowfast.open(places[-1]) as last:
        assert await content(last.backend) == wanted
        assert await told(last, *amounts) == before
    print(f"\n{clean.streams:,} streams with {clean.entries:,} entries: memory, file, bucket, file: equal")
