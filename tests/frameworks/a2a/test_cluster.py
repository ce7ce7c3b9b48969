"""Two request handlers, as in two processes, over one place: one runs the agent, the other follows and cancels."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.cluster import TaskVersion
from a2a.server.request_handlers.default_request_handler_v2 import DefaultRequestHandlerV2
from a2a.server.tasks import TaskUpdater
from a2a.types import a2a_pb2

import stowfast
from stowfast.adapters.a2a import StowfastTaskEventStream, StowfastVersionedTaskStore
from tests.frameworks.a2a.users import CANCELED, COMPLETED, SUBMITTED, call_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from a2a.server.events import EventQueue

    from stowfast import Stores

ADA = call_of("ada")
CARD = a2a_pb2.AgentCard(name="writer", capabilities=a2a_pb2.AgentCapabilities(streaming=True))
CHAPTERS = 4


class Writer(AgentExecutor):
    """Begins a task, waits until it may go on, writes a chapter, waits until it may end, and writes the others."""

    def __init__(self) -> None:
        self.may_go_on, self.may_end = asyncio.Event(), asyncio.Event()

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task_id, context_id = context.task_id or "", context.context_id or ""
        task = a2a_pb2.Task(id=task_id, context_id=context_id, status=a2a_pb2.TaskStatus(state=SUBMITTED))
        await event_queue.enqueue_event(task)
        await self.may_go_on.wait()
        updater = TaskUpdater(event_queue, task_id, context_id)
        for number in range(CHAPTERS):
            await updater.add_artifact([a2a_pb2.Part(text="x")], artifact_id=str(number))
            await self.may_end.wait()  # a handler that learns of a cancellation ends this wait
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()


class Replica:
    """One process of a cluster."""

    def __init__(self, stores: Stores) -> None:
        self.writer = Writer()
        self.tasks = StowfastVersionedTaskStore(stores)
        self.events = StowfastTaskEventStream(stores)
        self.handler = DefaultRequestHandlerV2(self.writer, self.tasks, CARD, event_stream=self.events)

    async def send(self, seen: asyncio.Queue[Any]) -> None:
        message = a2a_pb2.Message(message_id="m", role=a2a_pb2.ROLE_USER, parts=[a2a_pb2.Part(text="hi")])
        request = a2a_pb2.SendMessageRequest(message=message)
        async for event in self.handler.on_message_send_stream(request, ADA):
            await seen.put(event)

    async def sees(self, task_id: str) -> None:
        """Wait until the task is stored."""
        async with aclosing(self.events.subscribe(task_id, after=TaskVersion.MISSING)) as events:
            await anext(events)


@pytest.fixture
async def replicas(url: str) -> AsyncIterator[tuple[Replica, Replica]]:
    before = asyncio.all_tasks()
    async with stowfast.open(url) as stores:
        yield Replica(stores), Replica(stores)
        behind = asyncio.all_tasks() - before - {asyncio.current_task()}  # the handlers' own work behind their answers
        for one in behind:
            one.cancel()
        await asyncio.gather(*behind, return_exceptions=True)


async def test_another_replica_follows_the_task(replicas: tuple[Replica, Replica]) -> None:
    (here, there), seen = replicas, asyncio.Queue[Any]()
    async with asyncio.timeout(100):
        running = asyncio.create_task(here.send(seen))
        task_id = (await seen.get()).id
        await there.sees(task_id)
        followed = []
        async for event in there.handler.on_subscribe_to_task(a2a_pb2.SubscribeToTaskRequest(id=task_id), ADA):
            followed.append(event)
            here.writer.may_go_on.set()
            here.writer.may_end.set()
        await running
        names = [one.artifact.artifact_id for one in followed if isinstance(one, a2a_pb2.TaskArtifactUpdateEvent)]
        assert names == [str(number) for number in range(CHAPTERS)]
        assert isinstance(followed[0], a2a_pb2.Task)
        assert isinstance(followed[-1], a2a_pb2.TaskStatusUpdateEvent)
        assert followed[-1].status.state == COMPLETED


async def test_another_replica_cancels_the_task(replicas: tuple[Replica, Replica]) -> None:
    (here, there), seen = replicas, asyncio.Queue[Any]()
    async with asyncio.timeout(100):
        running = asyncio.create_task(here.send(seen))
        task_id = (await seen.get()).id
        await there.sees(task_id)
        canceled = await there.handler.on_cancel_task(a2a_pb2.CancelTaskRequest(id=task_id), ADA)
        assert canceled is not None
        assert canceled.status.state == CANCELED
        here.writer.may_go_on.set()
        await asyncio.gather(running, return_exceptions=True)
        stored = await there.tasks.get(task_id, ADA)
        assert stored is not None
        assert stored.task.status.state == CANCELED
        assert not stored.task.artifacts
