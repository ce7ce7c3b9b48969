"""Lost answers, cancelled callers, and compactions that race with a writer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from agents import Agent, Runner, RunState, function_tool
from agents.memory import OpenAIResponsesCompactionSession
from agents.testing import ScriptedModel, assistant_message, function_call

import stowfast
from stowfast import Stores, TaskState, UnavailableError
from stowfast.adapters.openai_agents import StowfastSession
from stowfast.testing import LosesAnswers
from stowfast.wrappers import Wrapper
from tests.services.faulty_s3.faults import Fault
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from stowfast.abc import Backend, Change, Receipt

A: Any = {"role": "user", "content": "a"}
B: Any = {"role": "user", "content": "b"}
C: Any = {"role": "user", "content": "c"}
SUMMARY: Any = {"role": "user", "content": "summary"}


class HoldsAnswers(Wrapper):
    """Commits at once, and answers when it is allowed to."""

    def __init__(self, backend: Backend, error: Exception | None = None) -> None:
        super().__init__(backend)
        self.made, self.allowed = asyncio.Event(), asyncio.Event()
        self._error = error

    async def commit(self, stream: str, change: Change) -> Receipt:
        receipt = await super().commit(stream, change)
        self.made.set()
        await self.allowed.wait()
        if self._error is not None:
            raise self._error
        return receipt


async def add(session: StowfastSession) -> Any:
    await session.add_items([B, C])


async def pop(session: StowfastSession) -> Any:
    return await session.pop_item()


async def clear(session: StowfastSession) -> Any:
    await session.clear_session()


async def compact(session: StowfastSession) -> Any:
    snapshot = await session._get_compaction_snapshot(1)
    assert snapshot is not None
    return await snapshot.replace_suffix(0, [SUMMARY])


CHANGES = [(add, None, [A, B, B, C]), (pop, B, [A]), (clear, None, []), (compact, True, [A, SUMMARY])]
"""Each change, its answer, and the items after it, when there were A and B before."""


@pytest.fixture
async def stores(url: str) -> AsyncIterator[Stores]:
    stores = await stowfast.open(url)
    yield stores
    await stores.close()


@pytest.mark.parametrize(("change", "answer", "after"), CHANGES)
async def test_a_change_without_an_answer_is_made_once(
    stores: Stores, change: Callable[[StowfastSession], Awaitable[Any]], answer: Any, after: list[Any]
) -> None:
    await StowfastSession("s", stores).add_items([A, B])
    losing = LosesAnswers(stores.backend, count=2)
    assert await change(StowfastSession("s", Stores(losing))) == answer
    assert losing.lose == 0
    assert await StowfastSession("s", stores).get_items() == after


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(("change", "answer", "after"), CHANGES)
async def test_a_connection_to_a_bucket_may_break(
    change: Callable[[StowfastSession], Awaitable[Any]], answer: Any, after: list[Any], after_effect: bool
) -> None:
    with FaultyS3() as server:
        url = f"s3://{server.bucket}/agents"
        async with StowfastSession("s", url, endpoint_url=server.endpoint, anonymous=True) as session:
            await session.add_items([A, B])
            rule = server.fail(Fault.RESET, after=after_effect, operation="PUT", times=2)
            assert await change(session) == answer
            assert rule.struck > 0
            assert await session.get_items() == after


@pytest.mark.parametrize(("change", "answer", "after"), CHANGES)
async def test_a_cancellation_waits_for_the_outcome(
    stores: Stores, change: Callable[[StowfastSession], Awaitable[Any]], answer: Any, after: list[Any]
) -> None:
    await StowfastSession("s", stores).add_items([A, B])
    holding = HoldsAnswers(stores.backend)
    call = asyncio.ensure_future(change(StowfastSession("s", Stores(holding))))
    await holding.made.wait()
    for _ in range(3):
        call.cancel()
        await asyncio.sleep(0)
        assert not call.done()
    holding.allowed.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await StowfastSession("s", stores).get_items() == after


async def test_a_cancellation_has_the_error_of_the_change_as_its_cause() -> None:
    stores = await stowfast.open("memory:")
    holding = HoldsAnswers(stores.backend, UnavailableError("no answer"))
    call = asyncio.ensure_future(add(StowfastSession("s", Stores(holding), within=None)))
    await holding.made.wait()
    call.cancel()
    holding.allowed.set()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await call
    assert isinstance(cancelled.value.__cause__, UnavailableError)
    await stores.close()


def compacting(session: StowfastSession, compact: Callable[..., Awaitable[Any]]) -> OpenAIResponsesCompactionSession:
    client: Any = SimpleNamespace(responses=SimpleNamespace(compact=compact))
    return OpenAIResponsesCompactionSession(
        "s", session, client=client, compaction_mode="input", should_trigger_compaction=lambda _: True
    )


def agent() -> Agent[Any]:
    return Agent(name="a", model=ScriptedModel(steps=[[assistant_message("done")]]))


async def test_the_sdk_compacts_in_one_commit(stores: Stores) -> None:
    async def compact(**_: Any) -> Any:
        return SimpleNamespace(output=[SUMMARY])

    session = StowfastSession("s", stores)
    before = await stores.messages.add_message("s", A)
    info = await stores.messages.info("s")
    await Runner.run(agent(), "go", session=compacting(session, compact))
    assert await session.get_items() == [SUMMARY]
    found = await stores.messages.info("s")
    assert info is not None
    assert found is not None
    assert found.incarnation == info.incarnation  # never deleted
    assert before == 0


async def test_items_that_come_during_a_compaction_stay(stores: Stores) -> None:
    session = StowfastSession("s", stores)

    async def compact(**_: Any) -> Any:
        await session.add_items([C])
        return SimpleNamespace(output=[SUMMARY])

    await Runner.run(agent(), "go", session=compacting(session, compact))
    items: list[Any] = await session.get_items()
    assert len(items) == 3
    assert items[-1] == C


async def test_a_subclass_with_other_items_is_not_passed_by() -> None:
    class UpperSession(StowfastSession):
        async def get_items(self, limit: int | None = None, *, wrapper: Any = None) -> Any:
            items: list[Any] = await super().get_items(limit)
            return [{**one, "content": one["content"].upper()} for one in items]

    class NamedSession(StowfastSession):
        pass

    assert await UpperSession("s", "memory:")._get_compaction_snapshot(1) is None
    async with NamedSession("s", "memory:") as session:
        assert await session._get_compaction_snapshot(1) is not None


async def test_older_items_behind_a_summary_of_stowfast_are_kept(stores: Stores) -> None:
    session = StowfastSession("s", stores)
    await session.add_items([A, B, C])
    await stores.messages.compact("s", keep_last=1, summary=SUMMARY)
    snapshot = await session._get_compaction_snapshot(10, prune_prefix=lambda _: True)
    assert snapshot is not None
    assert (snapshot.items, snapshot.complete) == ([C], False)
    assert await snapshot.replace_suffix(0, [B])
    assert await session.get_items() == [SUMMARY, B]


async def test_a_run_that_waits_for_an_approval_is_a_task(stores: Stores) -> None:
    ran = []

    @function_tool(needs_approval=True)
    def pay(amount: int) -> str:
        ran.append(amount)
        return "paid"

    def clerk(*steps: Any) -> Agent[Any]:
        return Agent(name="clerk", model=ScriptedModel(steps=[[step] for step in steps]), tools=[pay])

    session = StowfastSession("s", stores)
    result = await Runner.run(clerk(function_call("pay", {"amount": 5}, call_id="1")), "pay 5", session=session)
    data = stowfast.to_json(result.to_state().to_json())
    await stores.tasks.save(TaskState(task_id="run-1", context_id="s", status="input-required", data=data))
    assert ran == []

    saved = await stores.tasks.load("run-1")
    assert saved is not None
    agent = clerk(assistant_message("done"))
    state = await RunState.from_json(agent, saved.data)
    for interruption in state.get_interruptions():
        state.approve(interruption)
    result = await Runner.run(agent, state, session=session)
    assert (ran, result.final_output) == ([5], "done")
    items: list[Any] = await session.get_items()
    kinds = [one.get("type", "input") for one in items]
    assert kinds == ["input", "function_call", "function_call_output", "message"]
