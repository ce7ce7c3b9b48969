"""Random histories: the same calls on the framework's own store and on ours, and the same answers."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

from pydantic_ai import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationStore, InMemoryConversationStore
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import DeferredToolRequests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONVERSATIONS = ("c", "c/1", "", "../c", "c%2F1", "\0", "ü" * 900)
SCOPES = (None, None, "u1", "u/2", "", "s" * 3_000)
VERBS = (
    *("new", "load", "window", "save", "save", "save", "rewrite", "pause"),
    *("branch", "back", "fork", "fork_entry", "list", "delete", "entries"),
)


class History:
    """Two stores, and the conversations that a program holds of each: some are out of date."""

    def __init__(self, seed: int, ours: ConversationStore) -> None:
        self.random = random.Random(seed)
        self.stores = InMemoryConversationStore(), ours
        self.held: dict[int, tuple[Conversation, Conversation]] = {}
        self.ids = list(CONVERSATIONS)
        self.number = 0
        self.calls = 0

    async def run(self, steps: int, reopened: ConversationStore) -> None:
        """Make random calls. At the end a store that has seen nothing shows the same."""
        for _ in range(steps):
            verb = self.random.choice(VERBS)
            await getattr(self, verb)(self.random.choice(self.ids), self.random.choice(SCOPES))
            self.calls += 1
        self.stores = self.stores[0], reopened
        for conversation_id in self.ids:
            await self.load(conversation_id, None)
            await self.entries(conversation_id, None)
        await self.list("", None)

    async def both(self, call: Callable[[ConversationStore, int], Awaitable[Any]]) -> list[Any]:
        """Return both answers, or nothing after the same error of both."""
        found: list[tuple[str, Any]] = []
        for side, store in enumerate(self.stores):
            try:
                found.append(("", await call(store, side)))
            except (ConversationConflict, UserError) as error:
                found.append((type(error).__name__, None))
        assert found[0][0] == found[1][0], found
        return [] if found[0][0] else [answer for _, answer in found]

    def hold(self, answers: list[Any]) -> None:
        if answers:
            assert plain(answers[0]) == plain(answers[1])
            if answers[0] is not None:
                self.held[self.random.randrange(5)] = answers[0], answers[1]

    async def new(self, conversation_id: str, scope: str | None) -> None:
        del scope
        self.hold([Conversation(conversation_id=conversation_id) for _ in self.stores])

    async def load(self, conversation_id: str, scope: str | None) -> None:
        self.hold(await self.both(lambda store, _: store.load(conversation_id, scope=scope)))

    async def window(self, conversation_id: str, scope: str | None) -> None:
        limit = self.random.randint(-1, 4)
        self.hold(await self.both(lambda store, _: store.load(conversation_id, limit=limit, scope=scope)))

    async def save(self, conversation_id: str, scope: str | None) -> None:
        del conversation_id
        if self.held:
            pair = self.held[self.random.choice(list(self.held))]
            self.add(pair, self.random.randint(0, 3))
            await self.save_both(pair, scope)

    async def rewrite(self, conversation_id: str, scope: str | None) -> None:
        del conversation_id
        for key, pair in self.held.items():
            if pair[0].messages:
                cut = self.random.randrange(len(pair[0].messages))
                one, two = (
                    dataclasses.replace(one, messages=one.messages[:cut], new_message_index=None) for one in pair
                )
                self.add((one, two), 1)
                self.held[key] = one, two
                await self.save_both((one, two), scope)
                return

    async def pause(self, conversation_id: str, scope: str | None) -> None:
        """Save with an approval that waits, of up to 90 kB."""
        del conversation_id
        if self.held:
            pair = self.held[self.random.choice(list(self.held))]
            text = "x" * self.random.choice((10, 30_000, 40_000, 90_000))
            call = ToolCallPart("pay", {"text": text}, tool_call_id=f"call-{self.number}")
            response = ModelResponse(parts=[call])
            for one in pair:
                one.messages.append(response)
                one.deferred_tool_requests = DeferredToolRequests(
                    approvals=[call], metadata={call.tool_call_id: {"why": "dear"}}
                )
            await self.save_both(pair, scope)

    async def save_both(self, pair: tuple[Conversation, Conversation], scope: str | None) -> None:
        for one in pair:
            one.usage.requests += 1
            one.usage.details["cached"] = self.number
        answers = await self.both(lambda store, side: store.save(pair[side], scope=scope))
        if answers:
            theirs, ours = ([entry.message for entry in entries] for entries in answers)
            assert ours == theirs
            assert pair[0].new_message_index == pair[1].new_message_index

    async def branch(self, conversation_id: str, scope: str | None) -> None:
        at = self.random.randint(0, 6)
        await self.branch_both(conversation_id, scope, lambda _: {"at": at})

    async def back(self, conversation_id: str, scope: str | None) -> None:
        records = [await store.read_record(conversation_id) for store in self.stores]
        if records[0] is not None and records[0].branches:
            number = self.random.randrange(len(records[0].branches))
            tips = [record.branches[number] for record in records if record is not None]
            await self.branch_both(conversation_id, scope, lambda side: {"from_entry": tips[side]})

    async def branch_both(self, conversation_id: str, scope: str | None, told: Callable[[int], dict[str, Any]]) -> None:
        records = [await store.read_record(conversation_id) for store in self.stores]
        revisions = [None if record is None else record.revision for record in records]
        if self.random.random() < 0.2:
            revisions = ["x", "x"]
        self.hold(
            await self.both(
                lambda store, side: store.branch(
                    conversation_id, expected_revision=revisions[side], scope=scope, **told(side)
                )
            )
        )

    async def fork(self, conversation_id: str, scope: str | None) -> None:
        at = self.random.choice([None, 0, 1, 2])
        await self.fork_both(conversation_id, scope, lambda _: {"at": at})

    async def fork_entry(self, conversation_id: str, scope: str | None) -> None:
        """Fork from an entry of a branch that was left, or of the history."""
        records = [await store.read_record(conversation_id) for store in self.stores]
        if records[0] is None or records[1] is None:
            return
        tips = [[*record.branches, record.head_id] for record in (records[0], records[1])]
        number = self.random.randrange(len(tips[0]))
        lines = [await store.read_history(one[number]) for store, one in zip(self.stores, tips, strict=True)]
        assert [entry.message for entry in lines[0]] == [entry.message for entry in lines[1]]
        if lines[0]:
            place = self.random.randrange(len(lines[0]))
            await self.fork_both(conversation_id, scope, lambda side: {"from_entry": lines[side][place].id})

    async def fork_both(self, conversation_id: str, scope: str | None, told: Callable[[int], dict[str, Any]]) -> None:
        new = self.random.choice([*self.ids, f"f{self.number}"])
        self.number += 1
        if new not in self.ids:
            self.ids.append(new)
        answers = await self.both(
            lambda store, side: store.fork(conversation_id, new_conversation_id=new, scope=scope, **told(side))
        )
        self.hold(answers)

    async def list(self, conversation_id: str, scope: str | None) -> None:
        del conversation_id
        limit = self.random.choice([None, 0, 1, 2, 5])
        theirs, ours = await self.both(lambda store, _: store.list_conversations(scope=scope, limit=limit))
        assert list(map(shown, theirs)) == list(map(shown, ours))

    async def delete(self, conversation_id: str, scope: str | None) -> None:
        if self.random.random() < 0.4:
            await self.both(lambda store, _: store.delete(conversation_id, scope=scope))

    async def entries(self, conversation_id: str, scope: str | None) -> None:
        answers = await self.both(lambda store, _: store.load_entries(conversation_id, scope=scope))
        if answers and answers[0] is not None:
            theirs, ours = answers
            assert [entry.message for entry in theirs] == [entry.message for entry in ours]
            assert [entry.parent_id for entry in ours] == [None, *(entry.id for entry in ours)][: len(ours)]
            for entry in ours[:2]:
                assert await self.stores[1].read_entry(entry.id) == entry

    def add(self, pair: tuple[Conversation, Conversation], count: int) -> None:
        for _ in range(count):
            message = self.message()
            self.number += 1
            for one in pair:
                one.messages.append(message)

    def message(self) -> ModelMessage:
        text = f"{self.number} \0 \u2028 é " * self.random.randint(1, 50)
        call_id = f"call-{self.number}"
        messages: list[ModelMessage] = [
            ModelRequest(parts=[UserPromptPart(text)], instructions="Be brief."),
            ModelRequest(parts=[UserPromptPart([text, BinaryContent(b"\xff\0", media_type="audio/wav")])]),
            ModelResponse(parts=[TextPart(text), ThinkingPart("hm", signature="s")], model_name="scripted"),
            ModelResponse(parts=[ToolCallPart("pay", {"amount": 1.5, "to": [None, text]}, tool_call_id=call_id)]),
            ModelRequest(parts=[ToolReturnPart("pay", {"ok": True}, tool_call_id=call_id, metadata={"m": 1})]),
        ]
        return self.random.choice(messages)


def plain(conversation: Conversation | None) -> object:
    """Return all of a conversation but its revision, which is random."""
    return None if conversation is None else dataclasses.replace(conversation, revision=None)


def shown(record: Any) -> tuple[object, ...]:
    waiting = record.deferred_tool_requests
    return record.conversation_id, record.scope, record.usage, waiting, record.forked_from, len(record.branches)
