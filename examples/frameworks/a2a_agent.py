"""An A2A agent that may be killed at any moment: start it, kill it, start it again.

    pip install 'stowfast[a2a]'
    python examples/frameworks/a2a_agent.py [URL]

It writes a report, chapter by chapter, and needs no network. Each chapter is stored with its event in one commit. The
next start finds the task that is not done, and goes on with the first chapter that is not in it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.default_request_handler_v2 import DefaultRequestHandlerV2
from a2a.server.tasks import TaskUpdater
from a2a.types import a2a_pb2

from stowfast.adapters.a2a import StowfastTaskEventStream, StowfastVersionedTaskStore

if TYPE_CHECKING:
    from a2a.server.events import EventQueue

CHAPTERS = 12
UNDER_WAY = {a2a_pb2.TASK_STATE_SUBMITTED, a2a_pb2.TASK_STATE_WORKING}


class Writer(AgentExecutor):
    """Writes the chapters that the task does not have."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Write the rest of the report."""
        task, task_id, context_id = context.current_task, context.task_id or "", context.context_id or ""
        if task is None:
            task = a2a_pb2.Task(id=task_id, context_id=context_id)
            task.status.state = a2a_pb2.TASK_STATE_SUBMITTED
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task_id, context_id)
        await updater.start_work()
        for number in range(len(task.artifacts), CHAPTERS):
            await asyncio.sleep(0.02)  # what a chapter takes
            await updater.add_artifact([a2a_pb2.Part(text=f"Chapter {number}")], artifact_id=f"chapter-{number}")
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """End the task."""
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()


async def main(url: str) -> None:
    """Begin the report, or go on with it."""
    call = ServerCallContext()
    message = a2a_pb2.Message(message_id="ask", role=a2a_pb2.ROLE_USER, parts=[a2a_pb2.Part(text="Write a report.")])
    async with StowfastVersionedTaskStore(url) as tasks, StowfastTaskEventStream(url) as events:
        card = a2a_pb2.AgentCard(name="writer", capabilities=a2a_pb2.AgentCapabilities(streaming=True))
        handler = DefaultRequestHandlerV2(Writer(), tasks, card, event_stream=events)
        for task in (await tasks.list(a2a_pb2.ListTasksRequest(), call)).tasks:
            if task.status.state in UNDER_WAY:
                message.task_id, message.context_id = task.id, task.context_id
        async for event in handler.on_message_send_stream(a2a_pb2.SendMessageRequest(message=message), call):
            if isinstance(event, a2a_pb2.TaskArtifactUpdateEvent):
                print("wrote", event.artifact.artifact_id, flush=True)
            elif isinstance(event, a2a_pb2.TaskStatusUpdateEvent):
                print(a2a_pb2.TaskState.Name(event.status.state), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///report.db"))
