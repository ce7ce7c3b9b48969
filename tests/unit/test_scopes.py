"""Two scopes and the stores around them, at random: nothing of one is ever seen in another."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import Artifact, InvalidError, Stores, StowfastError, TaskState
from stowfast.backends.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CALLS = 100_000
IDS = ("a", "b", "a/b", "a:b", "..", "%2F", "x" * 1_024, "canary-2", "canary-2:messages/a")


class Side:
    """One scope with its canary, and the cursors it has returned."""

    def __init__(self, stores: Stores, canary: str) -> None:
        self.stores = stores
        self.canary = canary
        self.cursors: list[str] = []


def call(side: Side, chance: random.Random, cursor: str | None) -> Awaitable[Any]:
    """Return one random call, with the canary in all its content."""
    stores, name = side.stores, chance.choice(IDS)
    value = {side.canary: chance.random()}
    artifact = Artifact(artifact_id=name, context_id=side.canary, content=side.canary, metadata=value)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: stores.messages.add_message(name, value, op_id=chance.choice(("1", "2", None))),
        lambda: stores.messages.get_messages(name),
        lambda: stores.messages.info(name),
        lambda: stores.messages.set_metadata(name, value),
        lambda: stores.messages.contexts(after=cursor, limit=2, order=chance.choice(("id", "recent"))),
        lambda: stores.messages.fork(name, chance.choice(IDS)),
        lambda: stores.messages.pop_message(name),
        lambda: stores.messages.delete(name),
        lambda: stores.artifacts.create(artifact),
        lambda: stores.artifacts.update(artifact),
        lambda: stores.artifacts.get(name),
        lambda: stores.artifacts.list(after=cursor, limit=2),
        lambda: stores.artifacts.delete(name),
        lambda: stores.tasks.save(TaskState(task_id=name, data=value, context_id=side.canary)),
        lambda: stores.tasks.load(name),
        lambda: stores.tasks.list(after=cursor, limit=2),
        lambda: stores.tasks.claim_next("worker", ttl=timedelta(microseconds=1)),
        lambda: stores.tasks.delete(name),
        lambda: stores.documents.put(name, value, metadata=value),
        lambda: stores.documents.get(name),
        lambda: stores.documents.list(after=cursor, limit=2, where=chance.choice((None, value))),
    ]  # fmt: skip
    if side.canary != "canary-0" and chance.random() < 0.002:
        return stores.delete_all()  # type: ignore[attr-defined, no-any-return]
    return chance.choice(calls)()


@pytest.mark.slow
async def test_no_call_of_one_scope_shows_another() -> None:
    chance, outer = random.Random(5), Stores(MemoryBackend())
    sides = [Side(outer, "canary-0"), Side(outer.within("canary-1"), "canary-1"), Side(outer.within("a"), "canary-2")]
    seen: Counter[str] = Counter()
    for _ in range(CALLS):
        side, other = chance.choice(sides), chance.choice(sides)
        cursor = chance.choice(other.cursors[-5:]) if other.cursors and chance.random() < 0.3 else None
        try:
            result = await call(side, chance, cursor)
        except StowfastError as error:
            seen[type(error).__name__] += 1
            seen["errors with the name of a scope"] += "'canary-1:" in str(error)
            continue
        text = repr(result)
        for strange in sides:
            if strange is not side:
                # Ids may hold the text of a canary; values, metadata and context ids of another scope never come.
                assert f"'{strange.canary}'" not in text.replace("_id='canary-2'", ""), text[:500]
        if (following := getattr(result, "next", None)) is not None:
            side.cursors.append(following)
        seen["results"] += 1
    print(dict(seen))
    assert seen["InvalidError"] > 1_000
    assert seen["errors with the name of a scope"] == 0
    assert seen["results"] > CALLS / 2


async def test_a_cursor_crosses_no_wall_on_its_own_backend() -> None:
    stores = Stores(MemoryBackend())
    for scope in (stores.within("1"), stores.within("2")):
        for number in range(3):
            await scope.messages.add_message(f"{number}", {})
    page = await stores.within("1").messages.contexts(limit=1)
    with pytest.raises(InvalidError, match="no cursor of this list"):
        await stores.within("2").messages.contexts(limit=1, after=page.next)
