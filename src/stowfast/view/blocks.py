"""The messages of any maker as blocks: text, reasoning, calls with their results, pictures, and JSON for the rest.

A message is told apart by its form, never by a guess of its framework. Sources: the public schemas of the makers that
`stowfast.testing.data.pairs` lists.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.stores.messages.formats import CALLS, RESULTS, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MessagePart", "Spoken", "spoken"]

Kind = Literal["text", "reasoning", "call", "result", "picture", "file", "json"]


@dataclass(frozen=True, slots=True)
class MessagePart:
    """One part of a message.

    `text` is for reading: the text, the arguments of a call or the content of a result. `call_id` joins a result to
    its call. `source` is the URL of a picture, `data:` or another.
    """

    kind: Kind
    text: str = ""
    name: str = ""
    call_id: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message as blocks, with the role and the name of its author."""

    role: str
    name: str
    blocks: tuple[MessagePart, ...]


_NAMES: Final = ("type", "part_kind", "block_type", "content_type", "message_type", "$type", "kind")
_ROLES: Final = {
    "human": "user",
    "humanmessage": "user",
    "user_message": "user",
    "user_prompt": "user",
    "request": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "assistant_message": "assistant",
    "response": "assistant",
    "model": "assistant",
    "agent": "assistant",
    "chatbot": "assistant",
    "tool_return_message": "tool",
    "system_prompt": "system",
    "systemmessage": "system",
    "toolmessage": "tool",
    "function": "tool",
    "tool_call_message": "assistant",
    "reasoning_message": "assistant",
    "function_call_output": "tool",
    "function_call": "assistant",
    "reasoning": "assistant",
    "function_call_result": "tool",
}
_KNOWN_ROLES: Final = frozenset({*_ROLES.values(), "developer"})
_WRAPPERS: Final = ("data", "kwargs", "message")
_PARTS: Final = (
    *("reasoning_content", "reasoning", "content", "parts", "blocks", "contents", "items", "text", "message"),
)
_CALL_LISTS: Final = ("tool_calls", "toolCalls", "invalid_tool_calls", "tool_call", "function_call", "tool_returns")
_ANSWERING: Final = {"retry_prompt", "tool_approval_response", "mcp_approval_response", "approval_response_message"}
_REASONING: Final = {"thinking", "reasoning", "redacted_thinking", "reasoning_content", "reasoning_text", "thought"}
_TEXTS: Final = frozenset(
    {
        *("text", "input_text", "output_text", "summary_text", "text_content", "user_prompt", "system_prompt"),
        *("message_output", "message_input"),
    }
)
_PICTURES: Final = {"image", "image_url", "input_image", "image_content"}
_TEXT_KEYS: Final = ("text", "content", "thinking", "reasoning", "summary", "refusal", "value")
_CALL_NAMES: Final = ("name", "tool_name", "toolName", "tool", "function_name")
_ARGUMENTS: Final = ("arguments", "args", "input", "parameters", "rawInput", "query")
_ANSWERS: Final = ("content", "output", "outputs", "result", "response", "tool_return", "return_value")
_IDS: Final = ("tool_call_id", "tool_use_id", "toolUseId", "toolCallId", "call_id", "callId", "CallId", "id")
_FACTS: Final = {"role", "name", "id", "type", "author", "timestamp", "created_at", "usage", "model", "metadata"}
_MAX_DEPTH: Final = 8


def spoken(message: dict[str, Any]) -> Spoken:
    """Return a message as blocks. An unknown form is one block of JSON, never an error."""
    inner = _unwrapped(message)
    blocks = tuple(_blocks_of(inner, 0, is_message=True))
    if not blocks:
        left = {key: value for key, value in inner.items() if key not in _FACTS}
        blocks = (MessagePart("json", _json(left)),) if left else ()
    return Spoken(_role(message, inner, blocks), _first_text(inner, ("name", "author")), blocks)


def _unwrapped(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message inside of an envelope, as LangChain and LlamaIndex dump it."""
    for key in _WRAPPERS:
        inner = message.get(key)
        if type(inner) is dict and inner.keys() & {"content", "parts", "blocks", "role"}:
            return inner
    return message


def _role(message: dict[str, Any], inner: dict[str, Any], blocks: tuple[MessagePart, ...]) -> str:
    content = inner.get("content")
    nested = content.get("role") if type(content) is dict else None
    if type(ids := message.get("id")) is list and ids:  # LangChain's dump ends with the class
        nested = nested or ids[-1]
    for said in (inner.get("role"), nested, *(one.get(key) for key in _NAMES for one in (inner, message))):
        role = spelled(said) if type(said) is str and len(said) <= 64 else ""
        role = _ROLES.get(role.replace("_", "") if role.endswith("_message") else role, _ROLES.get(role, role))
        if role in _KNOWN_ROLES:
            is_answer = role == "user" and blocks and all(block.kind == "result" for block in blocks)
            return "tool" if is_answer else role
    if blocks and all(block.kind == "result" for block in blocks):
        return "tool"
    if blocks and all(block.kind in {"call", "reasoning"} for block in blocks):
        return "assistant"
    return _first_text(inner, ("role", "author", "type", "kind")) or "message"


def _blocks_of(value: Any, depth: int, *, is_message: bool = False) -> Iterator[MessagePart]:
    if isinstance(value, str):
        if value:
            yield MessagePart("text", value)
    elif isinstance(value, list):
        for one in value:
            yield from _blocks_of(one, depth + 1)
    elif not isinstance(value, dict) or depth > _MAX_DEPTH:
        if value is not None:
            yield MessagePart("json", _json(value))
    elif is_message:
        yield from _message_blocks(value, depth)
    else:
        yield from _part_blocks(value, depth)


def _message_blocks(value: dict[str, Any], depth: int) -> Iterator[MessagePart]:
    names = _names(value)
    role = spelled(value["role"]) if isinstance(value.get("role"), str) else ""
    if names & (CALLS | RESULTS | _ANSWERING | _REASONING) or _is_ending(names - _TEXTS):
        yield from _part_blocks(value, depth)
        return
    if role in {"tool", "function", "tool_response"} or ("tool" in names and "role" not in value):
        parts = [block for key in _PARTS for block in _blocks_of(_listed(value.get(key)), depth + 1)]
        found = [block for block in parts if block.kind == "result"]
        yield from found or [_result(value)]
        return
    for key in _PARTS:
        if key in value:
            found = list(_blocks_of(value[key], depth + 1))
            if key in {"reasoning", "reasoning_content"}:
                found = [MessagePart("reasoning", block.text) for block in found]
            yield from found
            if found and key in {"content", "parts", "blocks"}:
                break
    for key in _CALL_LISTS:
        for one in _listed(value.get(key)):
            if isinstance(one, dict):
                yield _result(one) if key == "tool_returns" else _call(one)


def _part_blocks(part: dict[str, Any], depth: int) -> Iterator[MessagePart]:
    names = _names(part)
    has_call_id = any(key in part for key in _IDS[:-1])
    if names & (RESULTS | _ANSWERING) or any(name.endswith(_RESULT_ENDINGS) for name in names - _TEXTS):
        yield _result(part)
    elif names & CALLS or _is_ending(names - _TEXTS) or part.keys() >= {"id", "name", "arguments"}:
        yield _call(part)
    elif has_call_id and not names & _TEXTS and any(key in part for key in _ANSWERS):
        yield _result(part)
    elif picture := _picture(names, part):
        yield picture
    elif names & _REASONING or part.get("thought") is True:
        text = "\n".join(block.text for key in _TEXT_KEYS for block in _blocks_of(part.get(key), depth + 1))
        yield MessagePart("reasoning", text)
    elif len(inner := [key for key, one in part.items() if isinstance(one, dict | list)]) == 1 and (
        spelled(inner[0]) in CALLS | RESULTS | _REASONING
    ):
        key, one = spelled(inner[0]), part[inner[0]]
        if key in _REASONING:
            yield from (MessagePart("reasoning", block.text) for block in _blocks_of(one, depth + 1))
        elif isinstance(one, dict):
            yield _call(one) if key in CALLS else _result(one)
    elif "parts" in part or isinstance(part.get("content"), list):
        yield from _blocks_of(part.get("parts", part.get("content")), depth + 1)
    else:
        yield from _text_blocks(names, part, depth)


def _text_blocks(names: set[str], part: dict[str, Any], depth: int) -> Iterator[MessagePart]:
    text = next((part[key] for key in _TEXT_KEYS if isinstance(part.get(key), str)), None)
    if text is not None and (names & _TEXTS or not names or names <= {"part", "message"}):
        yield MessagePart("text", text)
    elif isinstance(part.get("text"), dict):
        yield from _blocks_of(part["text"], depth + 1)
    elif any(name in {"file", "input_file", "document", "file_data"} for name in names) or "file_data" in part:
        yield MessagePart("file", _json(part))
    else:
        yield MessagePart("json", _json(part))


_RESULT_ENDINGS: Final = ("_output", "_result", "_return", "_response")


def _is_ending(names: set[str]) -> bool:
    return any(name.endswith(("_call", "_tool_use", *_RESULT_ENDINGS)) for name in names)


def _call(value: dict[str, Any]) -> MessagePart:
    both = dict(value)
    for key in ("function", "tool_call", "toolCall", "custom"):
        if isinstance(value.get(key), dict):
            both |= value[key]
    arguments = next((both[key] for key in _ARGUMENTS if key in both), None)
    if arguments is None:
        arguments = _rest(value) or ""
    text = arguments if isinstance(arguments, str) else _json(arguments)
    return MessagePart("call", text, name=_first_text(both, _CALL_NAMES), call_id=_call_id(value) or _call_id(both))


def _result(value: dict[str, Any]) -> MessagePart:
    answer = next((value[key] for key in _ANSWERS if value.get(key) is not None), None)
    blocks = list(_blocks_of(answer, 1)) if isinstance(answer, str | list) else []
    is_text = bool(blocks) and all(block.kind == "text" for block in blocks)
    if answer is None:
        answer = _rest(value) or ""
    text = "\n".join(block.text for block in blocks) if is_text else "" if answer == "" else _json(answer)
    call_id = _call_id(value)
    for key in ("additional_kwargs", "origin"):  # LlamaIndex and Haystack
        if isinstance(value.get(key), dict):
            call_id = _call_id(value[key]) or call_id
    return MessagePart("result", text, name=_first_text(value, _CALL_NAMES), call_id=call_id)


def _picture(names: set[str], part: dict[str, Any]) -> MessagePart | None:
    inline = part.get("inline_data", part.get("inlineData"))
    if isinstance(inline, dict):
        kind = inline.get("mime_type", inline.get("mimeType"))
        if isinstance(kind, str) and kind.startswith("image/"):
            return MessagePart("picture", kind, source=f"data:{kind};base64,{inline.get('data')}")
        return MessagePart("file", _json(part))
    if not names & _PICTURES:
        return None
    found = part.get("image_url", part.get("source", part.get("url", part.get("image"))))
    if isinstance(found, dict):
        kind, data = found.get("media_type", "image/png"), found.get("data")
        source = found.get("url") or (f"data:{kind};base64,{data}" if isinstance(data, str) else "")
        return MessagePart("picture", str(kind), source=str(source))
    return MessagePart("picture", source=found if isinstance(found, str) else "")


def _rest(value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a call or a result in none of the known places."""
    left_out = {*_IDS, *_NAMES, *_CALL_NAMES, *_FACTS, "status"}
    return {key: one for key, one in value.items() if key not in left_out}


def _names(value: dict[str, Any]) -> set[str]:
    return {spelled(value[key]) for key in _NAMES if isinstance(value.get(key), str) and len(value[key]) <= 64}


def _call_id(value: dict[str, Any]) -> str:
    return next((str(value[key]) for key in _IDS if isinstance(value.get(key), str | int) and value[key] != ""), "")


def _first_text(value: dict[str, Any], keys: tuple[str, ...]) -> str:
    return next((value[key] for key in keys if isinstance(value.get(key), str) and value[key]), "")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
