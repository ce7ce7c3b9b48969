"""A place with streams of every kind, and the digest of what a copy should keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast
from stowfast.abc import Change, Query, Window
from stowfast.moving.blobs import bare_head, blob_in, with_blob

if TYPE_CHECKING:
    from stowfast import Stores
    from stowfast.abc import Backend

LARGE = 100_000
"""Bytes of content that is stored as a blob."""


async def fill(stores: Stores, count: int = 3) -> None:
    """Store conversations, artifacts, tasks and documents with gaps, versions, pruned fronts, notes and scopes."""
    later = await stores.backend.now() + 300 * 86_400 * 1_000_000
    for number in range(count):
        name = f"c{number}"
        messages = stores.messages
        await messages.add_messages(name, [{"n": n, "text": "x" * 50} for n in range(10)], op_id=f"op-{number}")
        await messages.pop_message(name)
        await messages.add_message(name, {"role": "user", "content": "after a gap"}, op_id="single")
        await messages.set_metadata(name, {"user": "ada" if number % 2 else "bob", "n": number})
        await messages.compact(
            name, keep_last=3, summary={"role": "system", "content": "the talk so far"}, drop=bool(number % 2)
        )
        for body in (b"first" * LARGE, b"second" * LARGE, b"inline", b"first" * LARGE):
            artifact = stowfast.Artifact(artifact_id=f"a{number}", content=body, context_id=name)
            await stores.artifacts.put(artifact)
        await stores.artifacts.prune(f"a{number}", keep=3)
        for step in range(5):
            state = stowfast.TaskState(task_id=f"t{number}", data={"step": step, "text": "y" * 500}, context_id=name)
            await stores.tasks.save(state)
        await stores.documents.put(f"d{number}", {"value": number})
    await stores.messages.add_message("deleted", {"n": 1})
    await stores.messages.delete("deleted")
    await stores.backend.commit("other/expiring", Change([b"x"], expires_at=later))

    await stores.within("tenant/1").messages.add_message("c0", {"inside": True})


async def fill_by_long_work(stores: Stores) -> None:
    """Fill, and leave the rest of large deletions, of a dropped front and of calls in a former life to a sweep."""
    await fill(stores)
    for name in ("many", "dropped"):
        for start in range(3):
            batch = [{"n": n} for n in range(1_000)]
            await stores.messages.add_messages(name, batch, op_id=f"{name}-{start}")
    await stores.messages.compact("dropped", keep_last=3, summary={"role": "system", "content": "x"}, drop=True)
    await stores.messages.delete("many")
    await stores.messages.add_message("many", {"n": 1}, op_id="many-2-again")
    await stores.artifacts.delete("a1")


async def content(backend: Backend) -> dict[str, object]:
    """Return everything that a copy keeps, by the name of the stream."""
    found: dict[str, object] = {}
    after = None
    while True:
        page = await backend.streams(Query("", after=after, limit=50))
        for one in page.streams:
            head, entries = await backend.read(one.name, Window(start=0))
            assert head is not None
            told = []
            for entry in entries:
                record, data, body = blob_in(one.name, entry.data), entry.data, b""
                if record is not None:
                    body = b"".join([piece async for piece in backend.read_blob(one.name, record.blob)])
                    data = with_blob(data, "")
                told.append((entry.position, entry.created_at, entry.op_id, data, body))
            found[one.name] = (bare_head(head), told, await backend.remembered(one.name))
        after = page.after
        if after is None:
            return found
