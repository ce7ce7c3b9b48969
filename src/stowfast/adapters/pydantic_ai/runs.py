"""A run of an agent that is saved after each node, and goes on after a kill."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stowfast.adapters.extras import extra

with extra("pydantic-ai"):
    from pydantic_ai import CallToolsNode, Conversation, ModelRequestNode
    from pydantic_ai.conversation_store import ConversationConflict, ConversationEntry, ConversationRecord
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.messages import ModelRequest
    from pydantic_graph import End

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_ai import AgentRunResult
    from pydantic_ai.agent import AbstractAgent, AgentRun
    from pydantic_ai.messages import ModelMessage, UserContent

    from stowfast.adapters.pydantic_ai.store import StowfastConversationStore

__all__ = ["run_saved"]


async def run_saved(
    agent: AbstractAgent[Any, Any],
    user_prompt: str | Sequence[UserContent] | None = None,
    *,
    store: StowfastConversationStore,
    conversation_id: str,
    scope: str | None = None,
    **options: Any,
) -> AgentRunResult[Any]:
    """Run an agent on a stored conversation, and save after each node of the run, in one commit.

    The prompt is stored before the model has it, a response before its tools are called, and their results before the
    model has them. The last response is stored with the end of the run. So after a kill call this again without a
    prompt: the run goes on behind the last save. The tools of the last response may be called a second time, with the
    same `RunContext.tool_call_id`: give that to each effect as its idempotency key.

    A request that is stored before it was sent is replaced by the request as it was sent.

    Args:
        user_prompt: None to go on with an unfinished run.
        conversation_id: a new id begins a conversation.
        scope: as in the methods of the store.
        options: as in `agent.iter`, such as `deps` or `deferred_tool_results`.

    Returns:
        The result. Its conversation is saved.

    Raises:
        UserError: a prompt for a conversation with an unfinished run. Finish it first, without a prompt.
        ConversationConflict: somebody else saved this conversation during the run. What this run saved before stays.
    """
    is_unfinished = await store.is_unfinished(conversation_id)
    if is_unfinished and user_prompt is not None:
        raise UserError(f"Conversation {conversation_id!r} has an unfinished run: finish it first, without a prompt.")
    conversation = await store.load(conversation_id, scope=scope) or Conversation(conversation_id=conversation_id)
    record = await store.read_record(conversation_id)
    if (record.revision if record is not None else None) != conversation.revision:
        raise ConversationConflict(conversation_id)
    progress = _Progress(store, conversation, record, scope)
    if is_unfinished:
        await progress.find_open_message()
    async with agent.iter(user_prompt, conversation=conversation, **options) as run:
        async for node in run:
            # A response without calls is saved with the end of the run: resumed, the model would answer again.
            if isinstance(node, ModelRequestNode):
                await progress.save(run, node.request)
            elif isinstance(node, End) or (isinstance(node, CallToolsNode) and node.model_response.tool_calls):
                await progress.save(run)
    assert run.result is not None  # a run without a result has raised
    return run.result


class _Progress:
    """The stored part of a run."""

    def __init__(
        self,
        store: StowfastConversationStore,
        conversation: Conversation,
        record: ConversationRecord | None,
        scope: str | None,
    ) -> None:
        self._store, self._scope = store, scope
        self._record = record or ConversationRecord(conversation_id=conversation.conversation_id, head_id=None)
        self._revision = conversation.revision
        self._last_id = self._record.head_id
        """The last entry that stays."""
        self._is_open = False
        """The newest entry is replaced by the next save."""
        # Messages are known by their parts: the framework resumes with copies of messages, which share them.
        self._parts = {id(message.parts): message.parts for message in conversation.messages}

    async def find_open_message(self) -> None:
        """Find the message at the end that the framework replaces when it resumes."""
        (newest,) = await self._store.read_history(self._last_id, limit=1)
        if isinstance(newest.message, ModelRequest) or newest.message.state == "suspended":
            self._last_id, self._is_open = newest.parent_id, True
            self._parts.popitem()

    async def save(self, run: AgentRun[Any, Any], request: ModelRequest | None = None) -> None:
        """Save the new messages of a run, and the request that is sent next."""
        fresh = self._fresh(run)
        if not fresh and run.result is None and (request is None or self._is_open):
            return  # a resumed run that has done nothing yet
        entries: list[ConversationEntry] = []
        for message in fresh:
            entries.append(ConversationEntry(parent_id=self._last_id, message=message))
            self._last_id = entries[-1].id
        if request is not None:
            entries.append(ConversationEntry(parent_id=self._last_id, message=_stamped(request, run)))
        record = self._record_of(run, entries[-1].id if entries else self._last_id)
        await self._store.streams.write(
            record, entries, self._revision, is_running=run.result is None, replaces_head=self._is_open
        )
        self._record, self._revision, self._is_open = record, record.revision, request is not None
        self._parts |= {id(message.parts): message.parts for message in fresh}
        if run.result is not None:
            run.result._conversation_saved(record.revision)  # noqa: SLF001 - as the framework's own save does

    def _fresh(self, run: AgentRun[Any, Any]) -> list[ModelMessage]:
        """Return the messages behind the last stored one, or those of the run if its history was rewritten."""
        messages = run.all_messages()
        for index in range(len(messages), 0, -1):
            if id(messages[index - 1].parts) in self._parts:
                return messages[index:]
        return run.new_messages() if self._parts else list(messages)

    def _record_of(self, run: AgentRun[Any, Any], head_id: str | None) -> ConversationRecord:
        """Return the next record, with a new revision and the time of now."""
        before = self._record
        return ConversationRecord(
            conversation_id=before.conversation_id,
            head_id=head_id,
            usage=copy(run.usage),
            deferred_tool_requests=None if run.result is None else run.result.conversation.deferred_tool_requests,
            scope=before.scope if self._scope is None else self._scope,
            forked_from=before.forked_from,
            forked_at=before.forked_at,
            branches=list(before.branches),
        )


def _stamped(request: ModelRequest, run: AgentRun[Any, Any]) -> ModelRequest:
    """Return a request as the framework will send it, as far as it is known before."""
    return replace(
        request,
        timestamp=datetime.now(UTC),
        run_id=request.run_id or run.run_id,
        conversation_id=request.conversation_id or run.conversation_id,
    )
