"""Programs as users type them. A type checker reads them in strict mode; nobody runs them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Required, TypedDict, assert_type

import stowfast
import stowfast.abc
import stowfast.sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


# The shapes of ChatCompletionMessageParam and MessageParam: unions of TypedDicts, with required and other keys.
class ToolCall(TypedDict, total=False):
    id: Required[str]
    type: Required[Literal["function"]]
    function: Required[dict[str, str]]


class AssistantMessage(TypedDict, total=False):
    role: Required[Literal["assistant"]]
    content: str | None
    tool_calls: list[ToolCall]


class ToolMessage(TypedDict):
    role: Literal["tool"]
    tool_call_id: str
    content: str


class TextBlock(TypedDict):
    type: Literal["text"]
    text: str


class BlockMessage(TypedDict):
    role: Literal["user", "assistant"]
    content: str | list[TextBlock]


class Metadata(TypedDict):
    title: str
    user: NotRequired[str]


ChatMessage = AssistantMessage | ToolMessage


async def adds(stores: stowfast.Stores, chat: ChatMessage, blocks: BlockMessage, plain: dict[str, Any]) -> None:
    for message in (chat, blocks, plain):
        assert_type(await stores.messages.add_message("c", message), int)
    chats: list[ChatMessage] = [chat]
    several: tuple[BlockMessage, ...] = (blocks,)
    assert_type(await stores.messages.add_messages("c", chats, metadata=Metadata(title="t")), range)
    await stores.messages.add_messages("c", several, if_token="token")
    await stores.messages.add_messages("c", (one for one in chats), expect=1)
    await stores.messages.replace_messages("c", chats, start=0)
    await stores.messages.add_messages("c", chat)  # type: ignore[arg-type]
    await stores.messages.add_message("c", chats)  # type: ignore[arg-type]


async def reads(stores: stowfast.Stores) -> None:
    assert_type(await stores.messages.get_messages("c"), list[dict[str, Any]])
    found = await stores.messages.read("c", last=2)
    assert_type(found.messages, list[dict[str, Any]])
    token = found.info.token if found.info is not None else None
    assert_type(token, str | None)
    async for entry in stores.messages.entries("c", last=20, before=7, reverse=True):
        assert_type(entry.position, int)
    assert_type((await stores.messages.contexts()).items, list[stowfast.ContextRef])
    assert_type((await stores.messages.contexts(info=True)).items, list[stowfast.ContextInfo])
    assert_type(await stores.messages.pop_message("c", op_id="undo"), dict[str, Any] | None)


async def describes(stores: stowfast.Stores, blocks: BlockMessage) -> None:
    await stores.messages.set_metadata("c", Metadata(title="t"), if_token="token")
    assert_type(await stores.messages.update_metadata("c", Metadata(title="t")), dict[str, Any])

    async def summarize(older: list[dict[str, Any]]) -> BlockMessage:
        return {"role": "user", "content": str(len(older))}

    def belongs_to(message: dict[str, Any]) -> stowfast.Links | None:
        return stowfast.Links(opens=[message["asks"]]) if "asks" in message else None

    await stores.messages.compact("c", keep_last=1, summary=summarize, belongs_to=belongs_to)
    await stores.messages.compact("c", keep_last=1, summary=blocks)
    await stores.messages.compact("c", keep_last=1, summary=lambda _: blocks)
    await stores.messages.compact("c", keep_last=1, summary=None)
    await stores.messages.get_messages("c", max_tokens=99, count_tokens=len, belongs_to=belongs_to)


def without_await(stores: stowfast.sync.Stores, chat: ChatMessage, several: list[BlockMessage]) -> None:
    assert_type(stores.messages.add_message("c", chat, metadata=Metadata(title="t")), int)
    assert_type(stores.messages.add_messages("c", several, if_token="token"), range)
    assert_type(stores.messages.read("c").messages, list[dict[str, Any]])
    assert_type(stores.messages.contexts(info=True).items, list[stowfast.ContextInfo])
    assert_type([entry.position for entry in stores.messages.entries("c", last=2)], list[int])
    assert_type(stores.messages.update_metadata("c", Metadata(title="t")), dict[str, Any])
    assert_type(stores.messages.replace_messages("c", several, start=3, op_id="op"), range)


class Labels(TypedDict):
    user: str
    tries: NotRequired[int]


async def keeps_artifacts(stores: stowfast.Stores, pieces: AsyncIterator[bytes], labels: Labels) -> None:
    artifact = stowfast.Artifact(artifact_id="a", content={"rows": 3}, metadata=dict(labels))
    assert_type(await stores.artifacts.put(artifact, ttl=timedelta(days=1)), stowfast.ArtifactInfo)
    found = await stores.artifacts.get("a", version=1)
    assert_type(found.content if found is not None else None, Any | None)
    async with stores.artifacts.open_writer("a", metadata=labels) as writer:
        async for piece in pieces:
            await writer.write(piece)
    assert_type(writer.info, stowfast.ArtifactInfo | None)
    async with stores.artifacts.open_live("live", metadata=labels) as live:
        await live.write(b"line")
    async with stores.artifacts.open_dataset("d", columns={"n": "integer"}, metadata=labels) as dataset:
        await dataset.append([{"n": 1}])
    async for row in stores.artifacts.rows("d"):
        assert_type(row, dict[str, Any])
    assert_type((await stores.artifacts.list(where=labels)).items, list[stowfast.ArtifactInfo])


async def keeps_tasks(stores: stowfast.Stores, labels: Labels) -> None:
    state = stowfast.TaskState(task_id="t", data={"step": 1}, metadata=dict(labels))
    assert_type(await stores.tasks.save(state, ttl=timedelta(days=1)), stowfast.TaskState)
    assert_type(await stores.tasks.load_many(["t"]), list[stowfast.TaskState | None])
    assert_type((await stores.tasks.list(where=labels)).items, list[stowfast.TaskInfo])
    assert_type((await stores.tasks.list(where=labels, data=True)).items, list[stowfast.TaskState])
    async for version in stores.tasks.watch("t", after=1):
        assert_type(version.data, Any)
    async for claimed, lease in stores.tasks.work("worker", ttl=timedelta(minutes=1), where=labels):
        claimed.status = "completed"
        await stores.tasks.save(claimed, lease=lease)
    lease_or_none = await stores.tasks.claim_next("worker", timedelta(minutes=1), where=labels)
    assert_type(lease_or_none, stowfast.Lease | None)


async def keeps_documents(stores: stowfast.Stores, labels: Labels) -> None:
    assert_type(await stores.documents.put("d", labels, metadata=labels, expect=0), int)

    def counted(data: Any) -> Any:
        return {**data, "seen": data["seen"] + 1}

    assert_type(await stores.documents.update("d", counted, default={"seen": 0}), stowfast.Document)
    assert_type((await stores.documents.list(prefix="d", where=labels)).items, list[stowfast.Document])


async def keeps_bounds(stores: stowfast.Stores, labels: Labels) -> None:
    await stores.rules.set("messages", stowfast.Retention(age=timedelta(days=30)), where=labels)
    rules = await stores.rules.list()
    assert_type(rules[0].where, Mapping[str, Any] | None)
    scope = stores.within("tenant-1")
    assert_type(await scope.messages.add_message("c", {"role": "user", "content": "hi"}), int)


async def looks_in(stores: stowfast.Stores) -> None:
    page = await stores.changes("messages")
    assert_type(page, stowfast.Changes)
    assert_type([changed.token for changed in page], list[str | None])
    assert_type(stores.stats(), stowfast.Stats)


def keeps_without_await(stores: stowfast.sync.Stores, labels: Labels) -> None:
    for state, lease in stores.tasks.work("worker", ttl=timedelta(minutes=1), where=labels):
        assert_type(state, stowfast.TaskState)
        stores.tasks.save(state, lease=lease)
    with stores.artifacts.open_writer("a", metadata=labels) as writer:
        writer.write(b"piece")
    assert_type(stores.artifacts.list(where=labels).items, list[stowfast.ArtifactInfo])
    assert_type(stores.documents.get("d"), stowfast.Document | None)
    assert_type(stores.tasks.list(where=labels).items, list[stowfast.TaskInfo])


class OwnMessages:
    """A store of a user's own: two methods, and nothing else."""

    async def get_messages(self, context_id: str) -> list[dict[str, Any]]:
        return [{"role": "system", "content": context_id}]

    async def add_message(self, context_id: str, message: Mapping[str, Any]) -> int:
        return len(context_id) + len(message)


def takes_any_store(stores: stowfast.Stores) -> list[stowfast.abc.MessageStore]:
    return [OwnMessages(), stores.messages]
