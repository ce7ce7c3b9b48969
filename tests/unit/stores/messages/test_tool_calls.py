"""Windows over conversations with tool calls of every maker: nothing torn, nothing left out that fits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowfast import InMemoryMessageStore
from stowfast.blocking import run_in_place
from stowfast.stores.messages.tool_calls import estimate_tokens, first_whole, tool_calls, tool_results
from stowfast.testing.data.messages import TOOLS, say

CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "OpenAI chat": (
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "x", "content": "1"},
    ),
    "OpenAI Responses": (
        {"type": "function_call", "id": "fc_1", "call_id": "x", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "x", "output": "1"},
    ),
    "OpenAI Responses, a shell": (
        {"type": "local_shell_call", "id": "ls_1", "call_id": "x", "action": {"type": "exec"}},
        {"type": "local_shell_call_output", "call_id": "x", "output": "1"},
    ),
    "Anthropic": (
        {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "1"}]},
    ),
    "Anthropic, on the server": (
        {"role": "assistant", "content": [{"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}]},
        {"role": "user", "content": [{"type": "web_search_tool_result", "tool_use_id": "x", "content": []}]},
    ),
    "Bedrock": (
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "x", "name": "f", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "x", "content": [{"json": {}}]}}]},
    ),
    "Gemini": (
        {"role": "model", "parts": [{"functionCall": {"id": "x", "name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "x", "name": "f", "response": {}}}]},
    ),
    "Gemini, in Python": (
        {"role": "model", "parts": [{"function_call": {"id": "x", "name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"function_response": {"id": "x", "name": "f", "response": {}}}]},
    ),
    "LangChain": (
        {"type": "ai", "data": {"content": "", "tool_calls": [{"name": "f", "id": "x", "type": "tool_call"}]}},
        {"type": "tool", "data": {"content": "1", "tool_call_id": "x", "type": "tool", "id": "an id of its own"}},
    ),
    "LangChain, dumped": (
        {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"],
         "kwargs": {"content": "", "type": "ai", "tool_calls": [{"name": "f", "id": "x", "type": "tool_call"}]}},
        {"lc": 1, "type": "constructor", "id": ["langchain", "ToolMessage"],
         "kwargs": {"content": "1", "type": "tool", "tool_call_id": "x"}},
    ),
    "Pydantic AI": (
        {"kind": "response", "parts": [{"part_kind": "tool-call", "tool_call_id": "x", "tool_name": "f"}]},
        {"kind": "request", "parts": [{"part_kind": "tool-return", "tool_call_id": "x", "content": "1"}]},
    ),
    "AI SDK": (
        {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "x", "toolName": "f", "input": {}}]},
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "x", "toolName": "f", "output": {}}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("maker", CALLS)
def test_the_tie_between_call_and_result_is_seen(maker):
    call, result = CALLS[maker]
    assert "x" in tool_calls(call)
    assert tool_results(call) == set()
    assert tool_results(result) == {"x"}
    assert "x" not in tool_calls(result)


@pytest.mark.parametrize(
    "message",
    [
        say("x"), {}, {"role": "assistant", "content": "tool"}, {"id": "x", "type": "message", "content": []},
        {"id": "x", "role": "user"}, {"tool_call_id": None}, {"tool_calls": None}, {"tool_calls": [None, 1, "x", []]},
        {"content": [{"type": "text", "text": "tool_use_id"}]}, {"type": ["tool"], "role": {"a": 1}}, {"part_kind": 1},
    ],
)  # fmt: skip
def test_what_is_no_call_ties_nothing(message):
    assert tool_calls(message) == tool_results(message) == set()


def test_a_window_begins_behind_the_last_result_that_is_torn():
    call, result = CALLS["OpenAI chat"]
    other = {"role": "assistant", "tool_calls": [{"id": "y", "type": "function"}]}
    answer = {"role": "tool", "tool_call_id": "y", "content": "2"}
    assert first_whole([call, result], set()) == 0
    assert first_whole([say(1), result, say(2)], {"x"}) == 2
    assert first_whole([other, result, answer, say(3)], {"x"}) == 3  # what is cut off takes its own results with it
    assert first_whole([], {"x"}) == 0


@pytest.mark.parametrize(("size", "tokens"), [(0, 1), (3, 1), (4, 2), (7, 2), (8, 3), (400, 101)])
def test_the_estimate_is_a_token_for_four_bytes_and_one(size, tokens):
    assert estimate_tokens(b"x" * size) == tokens


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[dict[str, Any], set[str], set[str]]]:
    """Draw messages with what they call and answer, as it is known from making them."""
    write = TOOLS[draw(st.sampled_from(sorted(TOOLS)))]
    talk: list[tuple[dict[str, Any], set[str], set[str]]] = []
    waiting: list[str] = []
    for number in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["say", "call", "answer", "answer"]))
        if kind == "call":
            calls = tuple(f"call-{number}-{n}" for n in range(draw(st.integers(1, 3))))
            asked = write(calls, ())
            named = [{one} for one in calls] if len(asked) == len(calls) else [set(calls)]
            talk += [(message, called, set()) for message, called in zip(asked, named, strict=True)]
            waiting += calls
        elif kind == "answer" and waiting:
            one = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
            talk += [(message, set(), {one}) for message in write((), (one,))]
        else:
            talk.append((say(number), set(), set()))
    return talk


def whole(talk: list[tuple[dict[str, Any], set[str], set[str]]]) -> bool:
    called = set().union(*(calls for _, calls, _ in talk), ())
    return all(results <= called for _, _, results in talk)


@given(conversations(), st.integers(0, 20))
def test_a_window_is_the_longest_that_fits_and_tears_nothing(talk, fits):
    store = InMemoryMessageStore()
    run_in_place(store.add_messages("c", [message for message, _, _ in talk]))
    found = run_in_place(store.get_messages("c", max_tokens=fits, count_tokens=lambda _: 1))
    longest = next(talk[begin:] for begin in range(max(len(talk) - fits, 0), len(talk) + 1) if whole(talk[begin:]))
    assert found == [message for message, _, _ in longest]


@given(conversations(), st.integers(0, 20), st.booleans())
def test_a_compaction_keeps_the_fewest_that_tear_nothing(talk, keep_last, drop):
    store = InMemoryMessageStore()
    run_in_place(store.add_messages("c", [message for message, _, _ in talk] + [say("last")]))
    everything = [*talk, (say("last"), set[str](), set[str]())]
    begin = max(len(everything) - keep_last, 0)
    while not whole(everything[begin:]):
        begin -= 1
    found = run_in_place(store.compact("c", keep_last=keep_last, summary=say("sum"), drop=drop))
    assert found == begin
    kept = [message for message, _, _ in everything[begin:]]
    assert run_in_place(store.get_messages("c")) == ([say("sum")] if begin else []) + kept
