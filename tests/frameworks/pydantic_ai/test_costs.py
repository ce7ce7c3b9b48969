"""The costs that the docs name: requests to a bucket, counted by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_ai import Agent, Conversation
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from stowfast.adapters.pydantic_ai import StowfastConversationStore, run_saved

if TYPE_CHECKING:
    from tests.frameworks.counted import CountedBucket

STEPS = 5


async def test_the_requests_of_each_call_on_a_bucket(counted_bucket: CountedBucket) -> None:
    requests = counted_bucket.requests
    async with StowfastConversationStore(counted_bucket.url) as store:
        conversation = Conversation(conversation_id="c")
        for number in range(20):
            conversation.messages.append(ModelRequest(parts=[UserPromptPart(f"{number} " * 100)]))
            await store.save(conversation)

        assert await requests(lambda: store.load("c")) == {"GET": 2}
        conversation.messages.append(ModelRequest(parts=[UserPromptPart("more")]))
        assert await requests(lambda: store.save(conversation)) == {"GET": 1, "PUT": 1}
        revision = conversation.revision
        assert await requests(lambda: store.branch("c", at=10, expected_revision=revision)) == {"GET": 4, "PUT": 1}
        assert await requests(lambda: store.fork("c", new_conversation_id="f")) == {"GET": 3, "PUT": 1}
        for number in range(50):
            await store.fork("c", new_conversation_id=f"f{number}")
        first = await requests(lambda: store.list_conversations(limit=50))
        assert first["GET"] <= 55
        assert await requests(lambda: store.list_conversations(limit=50)) == {"GET": 1, "LIST": 1}
        assert await requests(lambda: store.delete("f1")) == {"GET": 2, "PUT": 1}

        def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            step = sum(isinstance(message, ModelResponse) for message in messages)
            if step < STEPS:
                return ModelResponse(parts=[ToolCallPart("act", {}, tool_call_id=f"call-{step}")])
            return ModelResponse(parts=[TextPart("Done.")])

        agent = Agent(FunctionModel(scripted))

        @agent.tool_plain
        async def act() -> str:
            return "acted"

        run = await requests(lambda: run_saved(agent, "go", store=store, conversation_id="r"))
        assert run == {"GET": 3, "PUT": 2 + 2 * STEPS}
