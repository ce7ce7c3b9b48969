"""Programs as users type them. A type checker reads them in strict mode; nobody runs them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Required, TypedDict, assert_type

import stowfast
import stowfast.sync


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
