"""`StowfastCheckpointStorage`: workflows go on from it, beside the framework's own storage in memory."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from agent_framework import (
    Executor,
    InMemoryCheckpointStorage,
    Message,
    Workflow,
    WorkflowBuilder,
    WorkflowCheckpoint,
    WorkflowCheckpointException,
    WorkflowContext,
    WorkflowEvent,
    WorkflowMessage,
    handler,
    register_checkpoint_type,
)
from pydantic import BaseModel

import stowfast
from stowfast import InvalidError
from stowfast.adapters.agent_framework import StowfastCheckpointStorage
from stowfast.adapters.agent_framework.values import CheckpointValues
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, Child, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from agent_framework import CheckpointStorage

    from tests.frameworks.losing import LosingBucket

ADDED, KILLS = 12, 6

# Saves numbered checkpoints, and tells each number after its answer.
SAVES = """
import asyncio, os, sys
from agent_framework import WorkflowCheckpoint
from stowfast.adapters.agent_framework import StowfastCheckpointStorage

url, scope, name, stop = *sys.argv[1:4], int(sys.argv[4])

async def main():
    async with StowfastCheckpointStorage(url, scope=scope) as storage:
        os.write(1, b"opened\\n")
        for number in range(stop):
            id = f"{name}-{number}"
            await storage.save(WorkflowCheckpoint(workflow_name="w", graph_signature_hash="g", checkpoint_id=id))
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


class Color(Enum):
    RED = 1


@dataclass(frozen=True, slots=True)
class Order:
    number: int
    due: datetime
    tags: set[str] = field(default_factory=set)


class Model(BaseModel):
    name: str
    sizes: list[int]


class Plain:
    def __init__(self) -> None:
        self.inner = Order(1, datetime(2026, 1, 1, tzinfo=UTC))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Registered:
    value: int


@dataclass
class Unknown:
    value: int


register_checkpoint_type(Registered)
ALLOWED: list[type | str] = [Color, Order, Model, f"{__name__}:Plain"]

VALUES: list[Any] = [
    *(None, True, 0, -1.5, float("inf"), "ü\0", b"\0\xff", (1, (2, [3])), {1, 2}, frozenset({"a"})),
    *({1: "a", "1": "b"}, {"$": 1, "value": 2}, {("a", 1): None}, [[], {}], 10**60),
    *(datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), timedelta(days=-1, microseconds=3), uuid.UUID(int=7)),
    *(Decimal("1.50"), Color.RED, Order(1, datetime(2026, 1, 1, tzinfo=UTC), {"x"}), str, Order, Registered(1)),
    *(Model(name="m", sizes=[1]), Plain()),
]


class Upper(Executor):
    @handler
    async def upper(self, text: str, context: WorkflowContext[str]) -> None:
        context.set_state("order", Order(7, datetime(2026, 1, 1, tzinfo=UTC), {text}))
        await context.send_message(text.upper())


class Last(Executor):
    @handler
    async def last(self, text: str, context: WorkflowContext[str, str]) -> None:
        await context.yield_output(f"{text}!")


def workflow(storage: CheckpointStorage) -> Workflow:
    first, last = Upper(id="upper"), Last(id="last")
    return WorkflowBuilder(start_executor=first, checkpoint_storage=storage, name="w").add_edge(first, last).build()


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    values = CheckpointValues(ALLOWED)
    found = values.decode(json.loads(json.dumps(values.encode({"v": [value]}))))["v"][0]
    assert found == value
    assert type(found) is type(value)


class Words(dict[str, int]):
    """Its content is no attribute."""


class Wide(NamedTuple):
    size: int


@pytest.mark.parametrize("value", [Words(a=1), Wide(1), 1j])
def test_a_value_whose_content_is_no_attribute_is_refused_and_not_lost(value: Any) -> None:
    with pytest.raises(InvalidError):
        CheckpointValues([Words, Wide]).encode(value)


def test_objects_of_the_framework_come_back() -> None:
    values = CheckpointValues([Order])
    request = Order(1, datetime(2026, 1, 1, tzinfo=UTC))
    event: WorkflowEvent[Any] = WorkflowEvent.request_info(
        request_id="r", source_executor_id="e", request_data=request, response_type=str
    )
    message = WorkflowMessage(data=Message("user", ["hi"]), source_id="a", original_request_info_event=event)
    found = values.decode(json.loads(json.dumps(values.encode(message))))
    assert vars(found.original_request_info_event) == vars(event)
    assert found.data.to_dict() == message.data.to_dict()


@pytest.mark.parametrize(
    "stored",
    [
        {"$": "object", "type": "os:system", "value": {}},
        {"$": "object", "type": "subprocess:Popen", "value": {"args": "true"}},
        {"$": "object", "type": "agent_framework._workflows._checkpoint:FileCheckpointStorage", "value": {}},
        {"$": "object", "type": "agent_framework._workflows._checkpoint:os.system", "value": {}},
        {"$": "object", "type": f"{__name__}:Unknown", "value": {"value": 1}},
        {"$": "object", "type": f"{__name__}:Plain", "value": {"__class__": 1}},
        {"$": "type", "value": "builtins:eval"},
        {"$": "type", "value": None},
        {"$": "pickle", "value": "gASVCgAAAAAAAACMAmlklIwCaWSUk5Qu"},
        {"$": ["x"]},
    ],
)
def test_a_stored_value_names_no_code(stored: Any) -> None:
    with pytest.raises(InvalidError):
        CheckpointValues(ALLOWED).decode(stored)


async def test_a_type_that_is_not_allowed_is_refused_when_it_is_saved() -> None:
    storage = StowfastCheckpointStorage("memory:", scope=uuid.uuid4().hex)
    circle: list[Any] = []
    circle.append(circle)
    for value in (Unknown(1), Order, lambda: None, object(), circle):
        bad = WorkflowCheckpoint(workflow_name="w", graph_signature_hash="g", state={"v": value})
        with pytest.raises(WorkflowCheckpointException, match=r"\$\.state\.v") as caught:
            await storage.save(bad)
        assert isinstance(caught.value.__cause__, InvalidError)
    assert await storage.list_checkpoint_ids(workflow_name="w") == []


async def test_a_workflow_goes_on_from_each_checkpoint(url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastCheckpointStorage(url, allowed_checkpoint_types=[Order], scope=scope) as storage:
        assert (await workflow(storage).run("hi")).get_outputs() == ["HI!"]
        checkpoints = await storage.list_checkpoints(workflow_name="w")
        assert [one.iteration_count for one in checkpoints] == [0, 1, 2]
        for one in checkpoints[:2]:
            again = await workflow(storage).run(checkpoint_id=one.checkpoint_id)
            assert again.get_outputs() == ["HI!"]


@pytest.mark.parametrize("seed", range(5))
async def test_random_calls_give_the_answers_of_the_storage_in_memory(url: str, seed: int) -> None:
    randomness, theirs = random.Random(seed), InMemoryCheckpointStorage()
    ids = ["a", "a/b", "../x", "%", "\0", "ü" * 600]
    async with StowfastCheckpointStorage(url, allowed_checkpoint_types=ALLOWED, scope=uuid.uuid4().hex) as ours:
        for step in range(20):
            id, name = randomness.choice(ids), randomness.choice(["w", "w/x", "v" * 700])
            both: tuple[CheckpointStorage, ...] = (ours, theirs)
            if randomness.random() < 0.7:
                moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=step)
                checkpoint = WorkflowCheckpoint(
                    workflow_name=name,
                    graph_signature_hash="g",
                    checkpoint_id=id,
                    timestamp=moment.isoformat(),
                    state={"v": randomness.choice(VALUES), "n": step},
                )
                assert [await one.save(checkpoint) for one in both] == [id, id]
                checkpoint.state["n"] = "changed"
            else:
                deleted = [await one.delete(id) for one in both]
                assert deleted[0] == deleted[1]
            for name in ("w", "w/x", "v" * 700, "unknown"):
                listed = [await one.list_checkpoints(workflow_name=name) for one in both]
                assert listed[0] == sorted(listed[1], key=lambda one: one.timestamp)
                latest = [await one.get_latest(workflow_name=name) for one in both]
                assert latest[0] == latest[1]
        with pytest.raises(WorkflowCheckpointException):
            await ours.load("unknown")


async def test_one_of_several_deletes_says_true(every_url: str) -> None:
    async with StowfastCheckpointStorage(every_url, scope=uuid.uuid4().hex) as storage:
        await storage.save(WorkflowCheckpoint(workflow_name="w", graph_signature_hash="g", checkpoint_id="c"))
        assert sorted(await asyncio.gather(*(storage.delete("c") for _ in range(5)))) == [False] * 4 + [True]


def numbered(number: int) -> WorkflowCheckpoint:
    return WorkflowCheckpoint(workflow_name="w", graph_signature_hash="g", checkpoint_id=str(number))


async def test_a_lost_answer_stays_inside(url: str) -> None:
    async with stowfast.open(url) as stores:
        backend = LosesAnswers(stores.backend, 0)
        storage = StowfastCheckpointStorage(stowfast.Stores(backend))
        for number in range(3):
            backend.lose = 2
            assert await storage.save(numbered(number)) == str(number)
        backend.lose = 1
        assert await storage.delete("1") is True
        assert await storage.delete("1") is False
        with pytest.raises(WorkflowCheckpointException):
            await storage.load("1")
        assert await storage.list_checkpoint_ids(workflow_name="w") == ["0", "2"]


async def test_a_bucket_that_loses_answers_keeps_each_checkpoint(losing_bucket: LosingBucket) -> None:
    async with StowfastCheckpointStorage(losing_bucket.url) as storage:
        for number in range(4):
            losing_bucket.lose_answer()
            await storage.save(numbered(number))
        losing_bucket.lose_answer()
        assert await storage.delete("1") is True
        assert await storage.list_checkpoint_ids(workflow_name="w") == ["0", "2", "3"]


async def test_two_processes_lose_and_double_nothing(shared_url: str) -> None:
    scope, names = uuid.uuid4().hex, ("one", "two")
    race(SAVES, *[[shared_url, scope, name, str(ADDED)] for name in names])
    async with StowfastCheckpointStorage(shared_url, scope=scope) as storage:
        found = by_writer(await storage.list_checkpoint_ids(workflow_name="w"))
    assert found == {name: list(range(ADDED)) for name in names}


async def test_a_list_beside_saves_misses_no_checkpoint(shared_url: str) -> None:
    scope, ids = uuid.uuid4().hex, {f"one-{number}" for number in range(ADDED)}
    async with StowfastCheckpointStorage(shared_url, scope=scope) as storage:
        for id in ids:
            await storage.save(WorkflowCheckpoint(workflow_name="w", graph_signature_hash="g", checkpoint_id=id))
        with Child(SAVES, shared_url, scope, "one", str(ADDED)) as child:
            child.read(1)
            while not child.has_ended:
                found = await storage.list_checkpoint_ids(workflow_name="w")
                assert len(found) == len(ids) == len(ids & set(found))
            child.finish()


@KILLABLE
async def test_an_acknowledged_checkpoint_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(SAVES, KILLS, lambda name: [shared_url, scope, name, "10000"], 8)
    async with StowfastCheckpointStorage(shared_url, scope=scope) as storage:
        check_writers(shared_url, told, by_writer(await storage.list_checkpoint_ids(workflow_name="w")))
