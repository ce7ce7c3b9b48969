"""Values for the clauses: messages as their makers write them, tool calls, and values outside JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from stowfast.testing.clause import same
from stowfast.testing.protocols import AS_GIVEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.stores import Messages

    Message = dict[str, Any]

__all__ = ["MESSAGES", "TOOLS", "exactly", "listed_ids", "refused", "say"]


def say(subject: object) -> Message:
    """Return a small message."""
    return {"role": "user", "content": str(subject)}


def exactly(found: object, wanted: object, subject: str) -> None:
    """Raise unless two JSON values are the same: equality sees neither the order of keys nor 1 from 1.0."""
    same(_written(found), _written(wanted), subject)


def _written(value: object) -> str:
    return json.dumps(value, default=repr, ensure_ascii=False)


MESSAGES: Final[tuple[Message, ...]] = (
    {},
    AS_GIVEN,
    {"role": "assistant", "content": None, "refusal": None, "audio": None, "annotations": [], "function_call": None},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
    {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA", "status": None},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "é", "logprobs": []}]},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "...", "signature": "ErUB"}], "stop": None},
    {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
    {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
     "kwargs": {"content": "", "additional_kwargs": {}, "response_metadata": {"t": 0.0}, "usage_metadata": None}},
    {"type": "human", "data": {"content": "x", "additional_kwargs": {}, "type": "human", "name": None, "id": None}},
    {"kind": "message", "messageId": "1", "role": "agent", "parts": [{"kind": "data", "data": {"n": 1.0, "m": 1}}]},
    {"role": "model", "parts": [{"thoughtSignature": "x", "text": "..."}]},
    {"role": "user", "content": " leading, trailing, a tab\t, a line\n, \u2028 and \x00 "},
    {"n": [0, -0.0, 1e308, 1e16, 1e22, 123456789.123456789, 2**53 + 1, -(10**300), True, None]},
    {"deep": json.loads("[" * 150 + "]" * 150)},
)  # fmt: skip
"""One message of each maker, and the corners of JSON."""


def refused() -> list[tuple[str, Any]]:
    """Return values that JSON cannot return unchanged, each with its name, made anew."""
    itself: dict[str, Any] = {}
    itself["self"] = [itself]
    deep: Any = None
    for _ in range(10_000):
        deep = [deep]
    return [
        ("not a number", float("nan")),
        ("infinity", float("inf")),
        ("minus infinity", float("-inf")),
        ("a tuple", (1, 2)),
        ("a set", {1}),
        ("bytes", b"x"),
        ("a complex number", 1j),
        ("an object", object()),
        ("a class", dict),
        ("a number as a key", {1: 1}),
        ("None as a key", {None: 1}),
        ("a lone surrogate", "\ud800"),
        ("a lone surrogate in a key", {"\udfff": 1}),
        ("too deep", deep),
        ("a value that holds itself", itself),
        ("an integer of over 4,300 digits", 10**5_000),
    ]


def _openai(calls: tuple[str, ...], results: tuple[str, ...]) -> list[Message]:
    made = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in calls]
    asked = [{"role": "assistant", "content": None, "tool_calls": made}] if calls else []
    return asked + [{"role": "tool", "tool_call_id": one, "content": "found"} for one in results]


def _responses(calls: tuple[str, ...], results: tuple[str, ...]) -> list[Message]:
    asked: list[Message] = [
        {"type": "function_call", "id": f"fc_{one}", "call_id": one, "name": "f", "arguments": "{}"} for one in calls
    ]
    return asked + [{"type": "function_call_output", "call_id": one, "output": "found"} for one in results]


def _anthropic(calls: tuple[str, ...], results: tuple[str, ...]) -> list[Message]:
    made: list[Message] = [{"type": "tool_use", "id": one, "name": "f", "input": {}} for one in calls]
    told = [{"type": "tool_result", "tool_use_id": one, "content": [{"type": "text", "text": "x"}]} for one in results]
    asked = [{"role": "assistant", "content": [{"type": "text", "text": "let me look"}, *made]}] if calls else []
    return asked + ([{"role": "user", "content": told}] if results else [])


def _langchain(calls: tuple[str, ...], results: tuple[str, ...]) -> list[Message]:
    made = [{"name": "f", "args": {}, "id": one, "type": "tool_call"} for one in calls]
    asked = [{"type": "ai", "data": {"content": "", "tool_calls": made, "type": "ai"}}] if calls else []
    return asked + [{"type": "tool", "data": {"content": "x", "tool_call_id": one, "type": "tool"}} for one in results]


TOOLS: Final[dict[str, Callable[[tuple[str, ...], tuple[str, ...]], list[Message]]]] = {
    "OpenAI chat": _openai,
    "OpenAI Responses": _responses,
    "Anthropic": _anthropic,
    "LangChain": _langchain,
}
"""Writes tool calls, then results, in one maker's format. Their ids are known without parsing."""


async def listed_ids(messages: Messages, **options: Any) -> list[str]:
    """Return the ids of all pages of a list."""
    found: list[str] = []
    after = None
    for _ in range(100):
        page = await messages.contexts(**options, after=after)
        found += [one.context_id for one in page]
        after = page.next
        if after is None:
            return found
    raise AssertionError("a listing of a few conversations does not end after 100 pages")
