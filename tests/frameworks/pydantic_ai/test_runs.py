"""A run is saved after each node: cut off after any save it goes on, and its history is that of a run without a cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, RunContext
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

import stowfast
from stowfast.adapters.pydantic_ai import StowfastConversationStore, run_saved
from stowfast.errors import UnavailableError
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend, Change, Receipt

STEPS = 3


class CutError(Exception):
    """The process ends here."""


class CutsOff(Wrapper):
    """Commits so many times, and then ends the process."""

    def __init__(self, backend: Backend, commits: int) -> None:
        super().__init__(backend)
        self.commits = commits

    async def commit(self, stream: str, change: Change) -> Receipt:
        if self.commits == 0:
            raise CutError
        self.commits -= 1
        return await super().commit(stream, change)


class LosesOne(Wrapper):
    """Loses the answer of one commit: that after so many others."""

    def __init__(self, backend: Backend, others: int, *, commits: bool) -> None:
        super().__init__(backend)
        self.others, self.commits = others, commits

    async def commit(self, stream: str, change: Change) -> Receipt:
        self.others -= 1
        if self.others == -1:
            if self.commits:
                await super().commit(stream, change)
            raise UnavailableError("no answer")
        return await super().commit(stream, change)


class Answer(BaseModel):
    total: int


def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    step = sum(isinstance(message, ModelResponse) for message in messages)
    if step < STEPS:
        calls = [ToolCallPart("add", {"number": step}, tool_call_id=f"call-{step}-{part}") for part in range(2)]
        return ModelResponse(parts=[TextPart("I add."), *calls])
    if info.output_tools:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"total": step}, tool_call_id="out")])
    return ModelResponse(parts=[TextPart("Done.")])


def agent_of(output: Any) -> tuple[Agent[None, Any], list[str]]:
    agent: Agent[None, Any] = Agent(FunctionModel(scripted), output_type=output, instructions="Add.")
    called: list[str] = []

    @agent.tool
    async def add(context: RunContext[None], number: int) -> int:
        assert context.tool_call_id is not None
        called.append(context.tool_call_id)
        return number + 1

    return agent, called


def bare(messages: list[ModelMessage]) -> list[object]:
    """Return messages without times and ids of runs."""
    found: list[object] = []
    for message in messages:
        parts = [{**vars(part), "timestamp": None} for part in message.parts]
        found.append((message.kind, parts, getattr(message, "instructions", None)))
    return found


def commits_of(output: Any) -> int:
    """Return the saves of a run: the prompt, two for each step with tools, and the end."""
    return 2 * STEPS + 2 + (output is Answer)


@pytest.mark.parametrize("output", [str, Answer])
async def test_a_run_cut_off_after_any_save_goes_on(url: str, output: Any) -> None:
    async with stowfast.open(url) as stores:
        whole, _ = agent_of(output)
        result = await run_saved(whole, "go", store=StowfastConversationStore(stores), conversation_id="whole")
        exact = StowfastConversationStore(stowfast.Stores(CutsOff(stores.backend, commits_of(output))))
        await run_saved(agent_of(output)[0], "go", store=exact, conversation_id="exact")
        loaded = await StowfastConversationStore(stores).load("whole")
        assert loaded is not None
        assert loaded.messages == result.all_messages()
        (head,) = await stores.backend.heads(["pydantic-ai/whole"])
        assert head is not None
        assert head.length == len(loaded.messages)
        for cut in range(commits_of(output)):
            store = StowfastConversationStore(stowfast.Stores(CutsOff(stores.backend, cut)))
            agent, called = agent_of(output)
            with pytest.raises(CutError):
                await run_saved(agent, "go", store=store, conversation_id=f"c{cut}")
            store = StowfastConversationStore(stores)
            unfinished = await store.is_unfinished(f"c{cut}")
            assert unfinished is (cut > 0)
            assert [one.conversation_id for one in await store.unfinished()] == ([f"c{cut}"] if cut else [])
            again = await run_saved(agent, None if cut else "go", store=store, conversation_id=f"c{cut}")
            assert again.output == result.output
            found = await StowfastConversationStore(stores).load(f"c{cut}")
            record = await store.read_record(f"c{cut}")
            assert found is not None
            assert record is not None
            assert bare(found.messages) == bare(result.all_messages())
            assert (record.branches, found.usage.requests) == ([], STEPS + 1)
            assert len(set(called)) == 2 * STEPS
            assert len(called) <= 2 * STEPS + 2
            assert not await store.unfinished()


@pytest.mark.parametrize("commits", [True, False])
async def test_a_run_whose_save_had_no_answer_goes_on_in_its_process(url: str, commits: bool) -> None:
    async with stowfast.open(url) as stores:
        for others in range(commits_of(str)):
            backend = LosesOne(stores.backend, others, commits=commits)
            store = StowfastConversationStore(stowfast.Stores(backend), within=None)
            agent, called = agent_of(str)
            conversation_id, prompt = f"c{others}", "go"
            with pytest.raises(UnavailableError):
                await run_saved(agent, prompt, store=store, conversation_id=conversation_id)
            if await store.is_unfinished(conversation_id):
                await run_saved(agent, store=store, conversation_id=conversation_id)
            loaded = await StowfastConversationStore(stores).load(conversation_id)
            assert loaded is not None
            assert len(loaded.messages) == 2 * STEPS + 2
            assert loaded.messages[-1].parts[0] == TextPart("Done.")
            assert len(set(called)) == 2 * STEPS


async def test_a_saved_run_continues_as_any_other(url: str) -> None:
    async with stowfast.open(url) as stores:
        store = StowfastConversationStore(stores)
        agent, _ = agent_of(str)
        result = await run_saved(agent, "go", store=store, conversation_id="c", scope="u")
        assert await store.save(result) == []
        second = await agent.run("more", conversation=result.conversation)
        assert len(await store.save(second, scope="u")) == 2
        third = await run_saved(agent, "and more", store=store, conversation_id="c", scope="u")
        loaded = await store.load("c", scope="u")
        assert loaded is not None
        assert loaded.messages == third.all_messages()
        assert loaded.usage == third.usage
        with pytest.raises(ConversationConflict):
            await run_saved(agent, "not yours", store=store, conversation_id="c", scope="v")


async def test_an_unfinished_run_takes_no_new_prompt(url: str) -> None:
    async with stowfast.open(url) as stores:
        agent, _ = agent_of(str)
        cut = StowfastConversationStore(stowfast.Stores(CutsOff(stores.backend, 2)))
        with pytest.raises(CutError):
            await run_saved(agent, "go", store=cut, conversation_id="c")
        store = StowfastConversationStore(stores)
        with pytest.raises(UserError, match="unfinished run"):
            await run_saved(agent, "go", store=store, conversation_id="c")
        await run_saved(agent, store=store, conversation_id="c")
        assert not await store.is_unfinished("c")


async def test_an_approval_over_64_kib_waits_in_the_store(url: str) -> None:
    text = "x" * 70_000

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("send", {"text": text}, tool_call_id="send-1")])
        return ModelResponse(parts=[TextPart("Sent.")])

    agent: Agent[None, Any] = Agent(FunctionModel(model), output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    async def send(text: str) -> int:
        return len(text)

    async with stowfast.open(url) as stores:
        store = StowfastConversationStore(stores)
        await run_saved(agent, "send it", store=store, conversation_id="c")
        waiting = await StowfastConversationStore(stores).load("c")
        assert waiting is not None
        assert waiting.deferred_tool_requests is not None
        (approval,) = waiting.deferred_tool_requests.approvals
        assert approval.args_as_dict() == {"text": text}
        answers = waiting.deferred_tool_requests.build_results(approve_all=True)
        result = await run_saved(agent, store=store, conversation_id="c", deferred_tool_results=answers)
        assert result.output == "Sent."
        found = await StowfastConversationStore(stores).load("c")
        assert found is not None
        assert found.deferred_tool_requests is None
        assert found.messages == result.all_messages()
        assert [type(message) for message in found.messages] == [ModelRequest, ModelResponse] * 2
        assert isinstance(found.messages[2].parts[0], ToolReturnPart)
        assert isinstance(found.messages[0].parts[0], UserPromptPart)
