"""Pairs as the providers of models write them, one row per shape: question, the two messages of the pair, answer."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["PROVIDERS"]

Message = dict[str, Any]


def _openai(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def _google(role: str, *parts: Message) -> Message:
    return {"role": role, "parts": list(parts)}


def _item(kind: str, **fields: Any) -> Message:
    return {"type": kind, **fields}


def _output(text: str) -> Message:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}


_ASK: Final = _openai("user", "What is 6 x 7?")
_SAY: Final = _openai("assistant", "42.")
_DONE: Final = _output("42.")
_REASONING: Final = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}

PROVIDERS: Final[dict[str, tuple[Message, Message, Message, Message]]] = {
    "OpenAI chat": (
        _ASK,
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"tool_call_id": "y"}'}}]},
        {"role": "tool", "tool_call_id": "x", "content": "42"},
        _SAY,
    ),
    "OpenAI chat, custom tool": (
        _ASK,
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "custom", "custom": {"name": "f", "input": "6"}}]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "text", "text": "42"}]},
        _SAY,
    ),
    "OpenAI chat, legacy function": (
        _ASK,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
        _SAY,
    ),
    "OpenAI chat, upper case": (
        {"role": "USER", "content": "What is 6 x 7?"},
        {"role": "ASSISTANT", "tool_calls": [{"id": "x", "type": "FUNCTION", "function": {"name": "f"}}]},
        {"role": "TOOL", "content": "42"},
        {"role": "ASSISTANT", "content": "42."},
    ),
    "OpenAI Responses": (
        _ASK,
        _item("function_call", id="fc_1", call_id="x", name="f", arguments="{}"),
        _item("function_call_output", call_id="x", output="42"),
        _DONE,
    ),
    "OpenAI Responses, custom tool": (
        _ASK,
        _item("custom_tool_call", id="ctc_1", call_id="x", name="f", input="6"),
        _item("custom_tool_call_output", call_id="x", output="42"),
        _DONE,
    ),
    "OpenAI Responses, computer": (
        _ASK,
        _item("computer_call", id="cu_1", call_id="x", action={"type": "screenshot"}, pending_safety_checks=[]),
        _item("computer_call_output", call_id="x", output={"type": "computer_screenshot", "image_url": "data:"}),
        _DONE,
    ),
    "OpenAI Responses, local shell": (
        _ASK,
        _item("local_shell_call", id="lsh_1", call_id="x", action={"type": "exec", "command": ["ls"]}),
        _item("local_shell_call_output", id="x", output="42"),
        _DONE,
    ),
    "OpenAI Responses, shell": (
        _ASK,
        _item("shell_call", id="sh_1", call_id="x", action={"commands": ["ls"]}),
        _item("shell_call_output", call_id="x", output=[{"stdout": "42", "stderr": ""}]),
        _DONE,
    ),
    "OpenAI Responses, patch": (
        _ASK,
        _item("apply_patch_call", id="apc_1", call_id="x", operation={"type": "delete_file", "path": "a"}),
        _item("apply_patch_call_output", call_id="x", status="completed"),
        _DONE,
    ),
    "OpenAI Responses, reasoning before a call": (
        _ASK,
        _REASONING,
        _item("function_call", id="fc_1", call_id="x", name="f", arguments="{}"),
        _openai("user", "Stop"),
    ),
    "OpenAI Responses, reasoning before a message": (_ASK, _REASONING, _output("6 x 7 is 42."), _openai("user", "Ok")),
    "OpenAI Responses, reasoning before a search": (
        _ASK,
        _REASONING,
        _item("web_search_call", id="ws_1", status="completed", action={"type": "search", "query": "42"}),
        _openai("user", "Ok"),
    ),
    "OpenAI Responses, MCP approval": (
        _ASK,
        _item("mcp_approval_request", id="mcpr_1", name="f", arguments="{}", server_label="s"),
        _item("mcp_approval_response", id="mcprr_1", approval_request_id="mcpr_1", approve=True),
        _DONE,
    ),
    "Anthropic": (
        _ASK,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {"call_id": "y"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "42"}]},
        _SAY,
    ),
    "Anthropic, server tool": (
        _ASK,
        {"role": "assistant", "content": [{"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}]},
        {"role": "assistant", "content": [{"type": "web_search_tool_result", "tool_use_id": "x", "content": []}]},
        _SAY,
    ),
    "Anthropic, MCP": (
        _ASK,
        {"role": "assistant", "content": [{"type": "mcp_tool_use", "id": "x", "name": "f", "server_name": "s"}]},
        {"role": "assistant", "content": [{"type": "mcp_tool_result", "tool_use_id": "x", "content": []}]},
        _SAY,
    ),
    "Bedrock Converse, Strands": (
        {"role": "user", "content": [{"text": "What is 6 x 7?"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "x", "name": "f", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "x", "content": [{"json": {"id": "y"}}]}}]},
        {"role": "assistant", "content": [{"text": "42."}]},
    ),
    "Gemini": (
        _google("user", {"text": "What is 6 x 7?"}),
        _google("model", {"functionCall": {"name": "f", "args": {"id": "y"}}, "thoughtSignature": "x"}),
        _google("user", {"functionResponse": {"name": "f", "response": {"tool_calls": [{"id": "y"}]}}}),
        _google("model", {"text": "42."}),
    ),
    "Gemini with ids": (
        _google("user", {"text": "What is 6 x 7?"}),
        _google("model", {"functionCall": {"id": "x", "name": "f", "args": {}}}),
        _google("user", {"functionResponse": {"id": "x", "name": "f", "response": {}}}),
        _google("model", {"text": "42."}),
    ),
    "Gemini in Python": (
        _google("user", {"text": "What is 6 x 7?"}),
        _google("model", {"function_call": {"id": None, "name": "f", "args": {}}}),
        _google("user", {"function_response": {"id": None, "name": "f", "response": {"result": 42}}}),
        _google("model", {"text": "42."}),
    ),
    "Gemini, executed code": (
        _google("user", {"text": "What is 6 x 7?"}),
        _google("model", {"executableCode": {"language": "PYTHON", "code": "6 * 7"}}),
        _google("model", {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42"}}),
        _google("model", {"text": "42."}),
    ),
    "Cohere v1": (
        {"role": "USER", "message": "What is 6 x 7?"},
        {"role": "CHATBOT", "message": "", "tool_calls": [{"name": "f", "parameters": {}}]},
        {"role": "TOOL", "tool_results": [{"call": {"name": "f", "parameters": {}}, "outputs": [{"result": 42}]}]},
        {"role": "CHATBOT", "message": "42."},
    ),
    "Cohere v2": (
        _ASK,
        {"role": "assistant", "tool_plan": "I multiply", "tool_calls": [{"id": "x", "type": "function"}]},
        {"role": "tool", "tool_call_id": "x", "content": [{"type": "document", "document": {"data": "42"}}]},
        _SAY,
    ),
    "Mistral Conversations": (
        _item("message.input", role="user", content="What is 6 x 7?"),
        _item("function.call", tool_call_id="x", name="f", arguments="{}"),
        _item("function.result", tool_call_id="x", result="42"),
        _item("message.output", role="assistant", content="42."),
    ),
    "Ollama": (
        _ASK,
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
        {"role": "tool", "tool_name": "f", "content": "42"},
        _SAY,
    ),
    "Model Context Protocol": (
        {"role": "user", "content": {"type": "text", "text": "What is 6 x 7?"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "toolUseId": "x", "content": []}]},
        {"role": "assistant", "content": {"type": "text", "text": "42."}},
    ),
}  # fmt: skip
"""By the name of the provider."""
