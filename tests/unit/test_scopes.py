"""Two scopes and the stores around them, at random: nothing of one is ever seen or changed in another."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest

from stowfast import Artifact, InvalidError, Page, Stores, StowfastError, TaskState
from stowfast.backends.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

IDS = ("a", "b", "a/b", "a:b", "..", "%2F", "x" * 1_024, "canary-2", "canary-2:messages/a")
KINDS: tuple[Literal["messages", "artifacts", "tasks", "documents"], ...] = (
    "messages",
    "artifacts",
    "tasks",
    "documents",
)
ORDERS: tuple[Literal["recent", "id"], ...] = ("id", "recent")
MOMENT = timedelta(microseconds=1)


class Side:
    """One scope with its canary, the cursors it has returned, and a twin: the same scope alone on a backend."""

    def __init__(self, stores: Stores, twin: Stores, canary: str) -> None:
        self.stores = stores
        self.twin = twin
        self.canary = canary
        self.cursors: list[str] = []


async def some(found: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in found]


def call(stores: Stores, canary: str, seed: int, cursor: str | None) -> Awaitable[Any]:
    """Return one call chosen by a seed, with the canary in all its content."""
    chance = random.Random(seed)
    name, other = chance.choice(IDS), chance.choice(IDS)
    value = {canary: chance.random()}
    artifact = Artifact(artifact_id=name, context_id=canary, content=canary, metadata=value)
    state = TaskState(task_id=name, data=value, context_id=canary, metadata=value)
    op_id, order = chance.choice(("1", "2", None)), chance.choice(ORDERS)
    messages, artifacts, tasks, documents = stores.messages, stores.artifacts, stores.tasks, stores.documents
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: messages.add_message(name, value, op_id=op_id),
        lambda: messages.add_messages(name, [value] * 3, metadata=value),
        lambda: messages.get_messages(name),
        lambda: messages.read(name, last=2),
        lambda: some(messages.entries(name, last=3, reverse=True)),
        lambda: messages.info(name),
        lambda: messages.set_metadata(name, value),
        lambda: messages.update_metadata(name, value),
        lambda: messages.contexts(after=cursor, limit=2, order=order),
        lambda: messages.contexts(after=cursor, limit=2, info=True, where=chance.choice((None, value))),
        lambda: messages.replace_messages(name, [value], start=0, op_id=op_id),
        lambda: messages.compact(name, keep_last=1, summary=value),
        lambda: messages.fork(name, other),
        lambda: messages.pop_message(name, op_id=op_id),
        lambda: messages.delete(name),
        lambda: artifacts.create(artifact),
        lambda: artifacts.update(artifact),
        lambda: artifacts.put(artifact, op_id=op_id),
        lambda: artifacts.get(name),
        lambda: artifacts.versions(name),
        lambda: artifacts.list(after=cursor, limit=2, order=order),
        lambda: artifacts.prune(name, keep=1),
        lambda: artifacts.delete(name),
        lambda: tasks.save(state, op_id=op_id),
        lambda: tasks.load(name),
        lambda: tasks.load_many([name, other]),
        lambda: tasks.history(name),
        lambda: tasks.record(name, "step", value),
        lambda: tasks.steps(name),
        lambda: tasks.list(after=cursor, limit=2, data=chance.choice((True, False))),
        lambda: tasks.claim_next("worker", ttl=MOMENT),
        lambda: tasks.delete(name),
        lambda: documents.put(name, value, metadata=value),
        lambda: documents.update(name, lambda document: document, default=value),
        lambda: documents.get(name),
        lambda: documents.list(after=cursor, limit=2, where=chance.choice((None, value))),
        lambda: documents.delete(name),
        lambda: stores.changes(chance.choice(KINDS), after=cursor, limit=2),
        lambda: stores.delete_context(name),
        stores.sweep,
    ]  # fmt: skip
    if canary != "canary-0" and chance.random() < 0.002:
        return stores.delete_all()  # type: ignore[attr-defined, no-any-return]
    return chance.choice(calls)()


async def content(stores: Stores) -> dict[str, Any]:
    """Return all that a scope holds, without times, leases and ids of lives."""
    contexts = await messages_of(stores)
    artifacts = [await stores.artifacts.get(one.artifact_id) for one in await stores.artifacts.list(order="id")]
    tasks = [await stores.tasks.history(one.task_id) for one in await stores.tasks.list(order="id")]
    return {
        "messages": contexts,
        "artifacts": [(one.artifact_id, one.version, one.content, one.metadata) for one in artifacts if one],
        "tasks": [(one.task_id, one.version, one.data, one.steps) for states in tasks for one in states],
        "documents": [(one.document_id, one.version, one.data) for one in await stores.documents.list(order="id")],
    }


async def messages_of(stores: Stores) -> list[Any]:
    found = []
    for one in await stores.messages.contexts(order="id", info=True):
        held = await stores.messages.read(one.context_id)
        positions = [(entry.position, entry.message, entry.op_id) for entry in held.entries]
        found.append((one.context_id, one.metadata, held.summary, positions))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("calls", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
async def test_no_call_of_one_scope_shows_or_changes_another(calls: int) -> None:
    chance, outer = random.Random(5), Stores(MemoryBackend())
    sides = [Side(outer, Stores(MemoryBackend()), "canary-0")]
    for canary, scope in (("canary-1", "canary-1"), ("canary-2", "a")):
        sides.append(Side(outer.within(scope), Stores(MemoryBackend()).within(scope), canary))
    seen: Counter[str] = Counter()
    for number in range(calls):
        side, other, seed = chance.choice(sides), chance.choice(sides), chance.getrandbits(64)
        cursor = chance.choice(other.cursors[-5:]) if other.cursors and chance.random() < 0.3 else None
        error = await step(side, seed, cursor, sides, seen)
        if not isinstance(error, InvalidError):  # no cursor of this list: the twin has no such cursor
            twin = await step(Side(side.twin, side.twin, side.canary), seed, None, [], Counter())
            assert type(twin) is type(error), (twin, error)
        if number % (calls // 20) == 0:
            for one in sides:
                assert await content(one.stores) == await content(one.twin)
    print(dict(seen))
    assert seen["InvalidError"] > calls / 100
    assert seen["errors with the name of a scope"] == 0
    assert seen["results"] > calls / 2


async def step(
    side: Side, seed: int, cursor: str | None, sides: list[Side], seen: Counter[str]
) -> StowfastError | None:  # fmt: skip
    """Make one call, and return its error. Its result shows no canary of another side."""
    try:
        result = await call(side.stores, side.canary, seed, cursor)
    except StowfastError as error:
        seen[type(error).__name__] += 1
        seen["errors with the name of a scope"] += "'canary-1:" in str(error)
        return error
    text = repr(result)
    for strange in sides:
        if strange is not side:
            # Ids may hold the text of a canary; values, metadata and context ids of another scope never come.
            assert f"'{strange.canary}'" not in text.replace("_id='canary-2'", "").replace("id='canary-2'", ""), text
    following = result.next if isinstance(result, Page) else getattr(result, "cursor", None)
    if following is not None:
        side.cursors.append(following)
    seen["results"] += 1
    return None


async def test_a_cursor_crosses_no_wall_on_its_own_backend() -> None:
    stores = Stores(MemoryBackend())
    for scope in (stores.within("1"), stores.within("2")):
        for number in range(3):
            await scope.messages.add_message(f"{number}", {})
    page = await stores.within("1").messages.contexts(limit=1)
    with pytest.raises(InvalidError, match="no cursor of this list"):
        await stores.within("2").messages.contexts(limit=1, after=page.next)
