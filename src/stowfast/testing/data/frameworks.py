"""Pairs as agent frameworks write them, one row per shape: question, the two messages of the pair, answer."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["FRAMEWORKS"]

Message = dict[str, Any]


def _openai(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def _adk(author: str, *parts: Message) -> Message:
    return {"author": author, "content": {"role": "user" if author == "user" else "model", "parts": list(parts)}}


def _letta(kind: str, **fields: Any) -> Message:
    return {"id": "message-1", "date": "2026-01-01T00:00:00Z", "message_type": kind, **fields}


def _llama(role: str, *blocks: Message, **more: Any) -> Message:
    return {"role": role, "additional_kwargs": more, "blocks": list(blocks)}


def _item(kind: str, **fields: Any) -> Message:
    return {"type": kind, **fields}


def _output(text: str) -> Message:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


_ASK: Final = _openai("user", "What is 6 x 7?")
_SAY: Final = _openai("assistant", "42.")
_DONE: Final = _output("42.")
_TEXT: Final = {"block_type": "text", "text": "42"}

FRAMEWORKS: Final[dict[str, tuple[Message, Message, Message, Message]]] = {
    "OpenAI Agents in JavaScript": (
        _ASK,
        _item("function_call", id="fc_1", callId="x", name="f", arguments="{}", status="completed"),
        _item("function_call_result", callId="x", name="f", output={"type": "text", "text": "42"}),
        _DONE,
    ),
    "Google ADK": (
        _adk("user", {"text": "What is 6 x 7?"}),
        _adk("agent", {"function_call": {"id": None, "name": "f", "args": {}}}),
        _adk("agent", {"function_response": {"id": None, "name": "f", "response": {"result": 42}}}),
        _adk("agent", {"text": "42."}),
    ),
    "Google ADK with ids": (
        _adk("user", {"text": "What is 6 x 7?"}),
        _adk("agent", {"function_call": {"id": "adk-1", "name": "adk_request_confirmation", "args": {}}}),
        _adk("user", {"function_response": {"id": "adk-1", "name": "adk_request_confirmation", "response": {}}}),
        _adk("agent", {"text": "42."}),
    ),
    "LangChain": (
        {"type": "human", "data": {"content": "What is 6 x 7?", "type": "human"}},
        {"type": "ai", "data": {"content": "", "type": "ai", "tool_calls": [
            {"name": "f", "args": {}, "id": "x", "type": "tool_call"}], "invalid_tool_calls": []}},
        {"type": "tool", "data": {"content": "42", "tool_call_id": "x", "type": "tool", "id": "own", "name": "f"}},
        {"type": "ai", "data": {"content": "42.", "type": "ai", "tool_calls": []}},
    ),
    "LangChain, invalid call": (
        {"type": "human", "data": {"content": "What is 6 x 7?", "type": "human"}},
        {"type": "ai", "data": {"content": "", "type": "ai", "tool_calls": [], "invalid_tool_calls": [
            {"name": "f", "args": "{", "id": "x", "error": "not JSON", "type": "invalid_tool_call"}]}},
        {"type": "tool", "data": {"content": "not JSON", "tool_call_id": "x", "type": "tool", "status": "error"}},
        {"type": "ai", "data": {"content": "42.", "type": "ai"}},
    ),
    "LangChain, dumped": (
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"],
         "kwargs": {"content": "What is 6 x 7?", "type": "human"}},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
         "kwargs": {"content": "", "type": "ai", "tool_calls": [{"name": "f", "id": "x", "type": "tool_call"}]}},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "ToolMessage"],
         "kwargs": {"content": "42", "type": "tool", "tool_call_id": "x", "artifact": {"tool_call_id": "y"}}},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
         "kwargs": {"content": "42.", "type": "ai"}},
    ),
    "LlamaIndex": (
        _llama("user", _TEXT),
        _llama("assistant", _TEXT, tool_calls=[{"id": "x", "type": "function", "function": {"name": "f"}}]),
        _llama("tool", _TEXT, name="f", tool_call_id="x"),
        _llama("assistant", _TEXT),
    ),
    "LlamaIndex, id in blocks": (
        _llama("user", _TEXT),
        _llama("assistant", {"block_type": "tool_call", "tool_call_id": "x", "tool_name": "f", "tool_kwargs": {}}),
        _llama("tool", _TEXT, tool_call_id="x"),
        _llama("assistant", _TEXT),
    ),
    "LlamaIndex without ids": (
        _llama("user", _TEXT),
        _llama("assistant", _TEXT, tool_calls=[{"function": {"name": "f", "arguments": {}}}]),
        _llama("tool", _TEXT),
        _llama("assistant", _TEXT),
    ),
    "Pydantic AI": (
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "What is 6 x 7?"}]},
        {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_call_id": "x", "tool_name": "f", "args": {}}]},
        {"kind": "request", "parts": [{"part_kind": "tool-return", "tool_call_id": "x", "content": "42"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "42."}]},
    ),
    "Pydantic AI, retry": (
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "What is 6 x 7?"}]},
        {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_call_id": "x", "tool_name": "f", "args": ""}]},
        {"kind": "request", "parts": [{"part_kind": "retry-prompt", "tool_call_id": "x", "tool_name": "f"}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "42."}]},
    ),
    "AI SDK": (
        _ASK,
        {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "x", "toolName": "f", "input": {}}]},
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "x", "toolName": "f", "output": {}}]},
        _SAY,
    ),
    "AI SDK, approval": (
        _ASK,
        {"role": "assistant", "content": [{"type": "tool-approval-request", "approvalId": "a", "toolCallId": "x"}]},
        {"role": "tool", "content": [{"type": "tool-approval-response", "approvalId": "a", "approved": True}]},
        _SAY,
    ),
    "Microsoft Agent Framework": (
        {"type": "message", "role": "user", "contents": [{"type": "text", "text": "What is 6 x 7?"}]},
        {"type": "message", "role": "assistant", "contents": [
            {"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"}]},
        {"type": "message", "role": "tool", "contents": [{"type": "function_result", "call_id": "x", "result": 42}]},
        {"type": "message", "role": "assistant", "contents": [{"type": "text", "text": "42."}]},
    ),
    "Microsoft Agent Framework, approval": (
        {"type": "message", "role": "user", "contents": [{"type": "text", "text": "What is 6 x 7?"}]},
        {"type": "message", "role": "assistant", "contents": [
            {"type": "function_approval_request", "id": "a", "function_call": {
                "type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"}}]},
        {"type": "message", "role": "user", "contents": [
            {"type": "function_approval_response", "id": "a", "approved": True, "function_call": {
                "type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"}}]},
        {"type": "message", "role": "assistant", "contents": [{"type": "text", "text": "42."}]},
    ),
    "Microsoft.Extensions.AI": (
        {"role": "user", "contents": [{"$type": "text", "text": "What is 6 x 7?"}]},
        {"role": "assistant", "contents": [{"$type": "functionCall", "callId": "x", "name": "f", "arguments": {}}]},
        {"role": "tool", "contents": [{"$type": "functionResult", "callId": "x", "result": 42}]},
        {"role": "assistant", "contents": [{"$type": "text", "text": "42."}]},
    ),
    "Semantic Kernel": (
        {"role": "user", "items": [{"content_type": "text", "text": "What is 6 x 7?"}]},
        {"role": "assistant", "items": [{"content_type": "function_call", "id": "x", "name": "f", "arguments": "{}"}]},
        {"role": "tool", "items": [{"content_type": "function_result", "id": "x", "name": "f", "result": "42"}]},
        {"role": "assistant", "items": [{"content_type": "text", "text": "42."}]},
    ),
    "Semantic Kernel in .NET": (
        {"Role": {"Label": "user"}, "Items": [{"$type": "TextContent", "Text": "What is 6 x 7?"}]},
        {"Role": {"Label": "assistant"}, "Items": [{"$type": "FunctionCallContent", "Id": "x", "FunctionName": "f"}]},
        {"Role": {"Label": "tool"}, "Items": [{"$type": "FunctionResultContent", "CallId": "x", "Result": "42"}]},
        {"Role": {"Label": "assistant"}, "Items": [{"$type": "TextContent", "Text": "42."}]},
    ),
    "AutoGen": (
        {"type": "UserMessage", "source": "user", "content": "What is 6 x 7?"},
        {"type": "AssistantMessage", "source": "a", "content": [{"id": "x", "name": "f", "arguments": "{}"}]},
        {"type": "FunctionExecutionResultMessage", "content": [
            {"call_id": "x", "name": "f", "content": "42", "is_error": False}]},
        {"type": "AssistantMessage", "source": "a", "content": "42."},
    ),
    "AutoGen, agents": (
        {"type": "TextMessage", "source": "user", "content": "What is 6 x 7?"},
        {"type": "ToolCallRequestEvent", "source": "a", "content": [{"id": "x", "name": "f", "arguments": "{}"}]},
        {"type": "ToolCallExecutionEvent", "source": "a", "content": [
            {"call_id": "x", "name": "f", "content": "42", "is_error": False}]},
        {"type": "TextMessage", "source": "a", "content": "42."},
    ),
    "AutoGen 0.2": (
        _ASK,
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "content": "42", "tool_responses": [{"tool_call_id": "x", "role": "tool", "content": "42"}]},
        _SAY,
    ),
    "AG-UI": (
        {"id": "1", "role": "user", "content": "What is 6 x 7?"},
        {"id": "2", "role": "assistant", "toolCalls": [{"id": "x", "type": "function", "function": {"name": "f"}}]},
        {"id": "3", "role": "tool", "toolCallId": "x", "content": "42"},
        {"id": "4", "role": "assistant", "content": "42."},
    ),
    "Letta": (
        _letta("user_message", content="What is 6 x 7?"),
        _letta("tool_call_message", tool_call={"name": "f", "arguments": "{}", "tool_call_id": "x"}),
        _letta("tool_return_message", tool_call_id="x", tool_return="42", status="success"),
        _letta("assistant_message", content="42."),
    ),
    "Letta, approval": (
        _letta("user_message", content="What is 6 x 7?"),
        _letta("approval_request_message", tool_call={"name": "f", "arguments": "{}", "tool_call_id": "x"}),
        _letta("approval_response_message", approvals=[{"type": "approval", "tool_call_id": "x", "approve": True}]),
        _letta("assistant_message", content="42."),
    ),
    "Haystack": (
        {"role": "user", "meta": {}, "content": [{"text": "What is 6 x 7?"}]},
        {"role": "assistant", "meta": {}, "content": [{"tool_call": {"tool_name": "f", "arguments": {}, "id": "x"}}]},
        {"role": "tool", "meta": {}, "content": [
            {"tool_call_result": {"result": "42", "error": False, "origin": {"tool_name": "f", "id": "x"}}}]},
        {"role": "assistant", "meta": {}, "content": [{"text": "42."}]},
    ),
    "smolagents": (
        {"role": "user", "content": [{"type": "text", "text": "What is 6 x 7?"}]},
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool-response", "content": [{"type": "text", "text": "42"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "42."}]},
    ),
}  # fmt: skip
"""By the name of the framework."""
