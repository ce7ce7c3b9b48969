"""Windows of messages within a budget of tokens, with every tool result beside its call.

Reads the calls and results of OpenAI (chat and Responses), Anthropic, Bedrock, Gemini, LangChain, Pydantic AI and the
AI SDK, by their names for the id that links call and result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["estimate_tokens", "first_whole", "tool_calls", "tool_results"]

_BYTES_A_TOKEN: Final = 4

_TIES: Final = ("tool_call_id", "tool_use_id", "toolCallId", "toolUseId", "call_id")
"""Keys of the call id, in a call or in its result."""

_RESULTS: Final = (
    "tool",
    "toolResult",
    "tool_result",
    "tool-result",
    "tool-return",
    "function_response",
    "functionResponse",
)
_RESULT_ENDINGS: Final = ("_output", "_result", "-result", "-return", "_response")
_CALLS: Final = (
    "tool_calls",
    "tool_use",
    "server_tool_use",
    "tool_call",
    "tool-call",
    "toolUse",
    "function_call",
    "functionCall",
)


def estimate_tokens(data: bytes) -> int:
    """Guess how many tokens a message takes: one for every 4 bytes of its JSON, and at least one.

    High by about a tenth for English chat, more for messages with many keys; right to within a third for most
    languages. Pass a tokenizer's count where the guess is not good enough.
    """
    return len(data) // _BYTES_A_TOKEN + 1


def tool_calls(message: Any) -> set[str]:
    """Return the ids of the tool calls in a message."""
    return _ties(message)[0]


def tool_results(message: Any) -> set[str]:
    """Return the ids of the tool calls answered by a message."""
    return _ties(message)[1]


def first_whole(messages: Sequence[Any], called_before: set[str]) -> int:
    """Return the start of a window without a result of a call in `called_before`.

    The cut may remove calls, whose results must go too: crossed calls are cut up to the last of them.
    """
    begin, called = 0, set(called_before)
    for index, message in enumerate(messages, 1):
        if tool_results(message) & called:
            called = called.union(*map(tool_calls, messages[begin:index]))
            begin = index
    return begin


def _ties(message: Any) -> tuple[set[str], set[str]]:
    calls: set[str] = set()
    results: set[str] = set()
    level: list[tuple[str, Any]] = [("", message)]
    while level:
        below: list[tuple[str, Any]] = []
        for under, value in level:
            if isinstance(value, list):
                below.extend((under, one) for one in value)
            elif isinstance(value, dict):
                _tie(under, value, calls, results)
                below.extend(pair for pair in value.items() if isinstance(pair[1], dict | list))
        level = below
    return calls, results


def _tie(under: str, value: dict[str, Any], calls: set[str], results: set[str]) -> None:
    kinds = [under, *(value.get(key) for key in ("type", "role", "part_kind"))]
    is_result = any(kind in _RESULTS or (isinstance(kind, str) and kind.endswith(_RESULT_ENDINGS)) for kind in kinds)
    is_call = any(kind in _CALLS for kind in kinds)
    ties = [value[key] for key in _TIES if key in value]
    if not ties and (is_call or is_result):
        ties = [value.get("id")]
    (results if is_result else calls).update(tie for tie in ties if isinstance(tie, str))
