"""The formats of messages: the calls that a message of each maker opens, and those that it answers.

Names are compared in one spelling, `tool_result` for `toolResult`, `tool-result` and `TOOL_RESULT`. Sources: the public
schemas of the makers that `stowfast.testing.data.pairs` lists.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.errors import InvalidError
from stowfast.records import Links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["CALLS", "RESULTS", "Event", "Reading", "read_links", "spelled"]

Key = str | int


class Event(NamedTuple):
    """A call that a message opens or answers."""

    answers: bool
    keys: tuple[Key, ...]
    """The ids of the call. Empty: it has none, so the order alone tells the call."""


class Reading(NamedTuple):
    """The events of a message in their order, and its part in a run of model output."""

    events: tuple[Event, ...] = ()
    is_output: bool = False
    is_reasoning: bool = False


_NAME_KEYS: Final = (
    *("type", "role", "part_kind", "content_type", "message_type", "block_type", "kind", "$type", "Role"),
)
_CALL_ID_KEYS: Final = (*("tool_call_id", "tool_use_id", "call_id", "toolCallId", "toolUseId", "callId", "CallId"),)
_APPROVAL_ID_KEYS: Final = (
    *("approval_request_id", "approvalRequestId", "approvalId", "approval_id", "requestId", "request_id"),
)
_OWN_ID_KEYS: Final = ("id", "Id")
_WITH_ID_INSIDE: Final = ("additional_kwargs", "origin")
"""Objects beside a result that hold the id of its call: LlamaIndex and Haystack."""
_WITH_MORE_ANSWERS: Final = ("approvals", "tool_returns")
"""Lists of further answers in one message of Letta."""

CALLS: Final = frozenset({
    *("tool_call", "tool_calls", "invalid_tool_call", "invalid_tool_calls", "server_tool_call", "custom_tool_call"),
    *("function_call", "function_calls", "function_call_content", "executable_code"),
    *("tool_use", "server_tool_use", "mcp_tool_use"),
})  # fmt: skip
RESULTS: Final = frozenset({
    *("tool_result", "tool_results", "tool_return", "tool_return_message", "tool_response", "tool_call_result"),
    *("function_response", "function_result", "function_result_content", "function_call_output"),
    *("function_call_result", "local_shell_call_output", "code_execution_result"),
})  # fmt: skip
_APPROVAL_REQUESTS: Final = frozenset({
    *("mcp_approval_request", "tool_approval_request", "function_approval_request", "approval_request_message"),
})  # fmt: skip
_APPROVALS: Final = frozenset({
    *("mcp_approval_response", "tool_approval_response", "function_approval_response", "approval_response_message"),
})  # fmt: skip
_ANSWERING_ROLES: Final = ("tool", "function", "tool_response")
_TALKING_ROLES: Final = ("user", "assistant", "system", "developer")
_CALL_ENDINGS: Final = ("_call", "_tool_use")
_RESULT_ENDINGS: Final = ("_output", "_result", "_return", "_response")
_RESULT_KEYS: Final = ("content", "output", "outputs", "result", "response", "is_error")
"""Keys of a result. An object of an unknown type with the id of a call is a result if it has one of them."""
_CALL_AND_RESULT: Final = {"input", "output"}
"""Keys of a call with its result in one object, as parts of the AI SDK for user interfaces have them."""
_OUTPUT_TYPES: Final = ("mcp_approval_request", "mcp_list_tools")


def read_links(message: dict[str, Any], belongs_to: Callable[[dict[str, Any]], Links | None] | None = None) -> Reading:
    """Return the calls that a message opens and answers, by the caller's function first.

    Raises:
        InvalidError: the function returned neither `Links` with lists nor None, or is no function.
    """
    if belongs_to is not None:
        if not callable(belongs_to):
            raise InvalidError(f"belongs_to must be a function, not {type(belongs_to).__name__}")
        told = belongs_to(message)
        if told is not None:
            return _told(told)
    events = _events(message)
    kind, role = _plain(message.get("type")), _plain(message.get("role"))
    is_reasoning = kind == "reasoning" and not role
    is_output = is_reasoning or role == "assistant" or kind.endswith("_call") or kind in _OUTPUT_TYPES
    return Reading(tuple(events), is_output and not any(event.answers for event in events), is_reasoning)


def _told(links: object) -> Reading:
    if not isinstance(links, Links):
        raise InvalidError(f"belongs_to returned a {type(links).__name__}: it returns Links or None")
    for name, ids in (("opens", links.opens), ("answers", links.answers)):
        if not isinstance(ids, list | tuple):
            raise InvalidError(f"{name} of Links must be a list of ids, not {type(ids).__name__}")
    answers = [Event(True, _keys([one])) for one in links.answers]
    return Reading((*answers, *(Event(False, _keys([one])) for one in links.opens)))


def _events(message: dict[str, Any]) -> list[Event]:
    found: list[Event] = []
    is_answer = False
    left: list[tuple[str, Any]] = [("", message)]
    while left:
        under, value = left.pop()
        if type(value) is list:
            left.extend((under, one) for one in reversed(value) if type(one) is dict or type(one) is list)
            continue
        names = {under, *(_plain(value[key]) for key in _NAME_KEYS if key in value)}
        if names & _APPROVAL_REQUESTS:
            found.append(Event(False, _keys_at(value, _APPROVAL_ID_KEYS, _OWN_ID_KEYS)))
        elif names & _APPROVALS:
            found.extend(_approvals(value))
            continue
        else:
            events = list(_call_or_results(under, names, value))
            found += events
            if events:
                continue  # the content of a call or of a result is its user's
            is_answer = is_answer or _plain(value.get("role")) in _ANSWERING_ROLES
        inner = [(_plain(key), one) for key, one in value.items() if type(one) is dict or type(one) is list]
        left.extend(reversed(inner))
    if is_answer and not any(event.answers for event in found):
        found.append(Event(True, ()))
    return found


def _call_or_results(under: str, names: set[str], value: dict[str, Any]) -> Iterator[Event]:
    has_call_id = any(key in value for key in _CALL_ID_KEYS)
    keys = _keys_at(value, _CALL_ID_KEYS)
    role = _plain(value.get("role"))
    is_role = role in _ANSWERING_ROLES or _plain(value.get("type")) == "tool"
    inside = _keys_inside(value) if not keys and (is_role or names & RESULTS) else ()
    if inside or (is_role and has_call_id):
        yield Event(True, keys or inside)
    elif names & RESULTS:
        yield Event(True, keys if has_call_id else _keys_at(value, _OWN_ID_KEYS))
    elif names & CALLS:
        yield Event(False, keys if has_call_id else _keys_at(value, _OWN_ID_KEYS))
    elif keys and role not in _TALKING_ROLES and not value.keys() >= _CALL_AND_RESULT:
        is_result = any(name.endswith(_RESULT_ENDINGS) for name in names) or "retry_prompt" in names
        is_call = any(name.endswith(_CALL_ENDINGS) for name in names)
        yield Event(is_result or (not is_call and any(key in value for key in _RESULT_KEYS)), keys)
    elif under == "content" and names == {under} and value.keys() >= {"id", "name", "arguments"}:
        yield Event(False, _keys_at(value, _OWN_ID_KEYS))  # AutoGen has calls without a type
    for more in _WITH_MORE_ANSWERS:
        yield from _further(value.get(more))


def _approvals(value: dict[str, Any]) -> list[Event]:
    keys, more = _keys_at(value, _APPROVAL_ID_KEYS), list(_further(value.get("approvals")))
    own = () if keys or more else _keys_at(value, _OWN_ID_KEYS)
    return more if more and not keys else [Event(True, keys or own), *more]


def _further(answers: Any) -> Iterator[Event]:
    for one in answers if type(answers) is list else ():
        if type(one) is dict and (keys := _keys_at(one, _CALL_ID_KEYS)):
            yield Event(True, keys)


def _keys_at(value: dict[str, Any], *names: Sequence[str]) -> tuple[Key, ...]:
    """Return the ids under the first of these groups of names that the object has."""
    for group in names:
        if keys := _keys([value[name] for name in group if name in value]):
            return keys
    return ()


def _keys_inside(value: dict[str, Any]) -> tuple[Key, ...]:
    for name in _WITH_ID_INSIDE:
        inner = value.get(name)
        if type(inner) is dict and (keys := _keys_at(inner, _CALL_ID_KEYS, _OWN_ID_KEYS)):
            return keys
    return ()


def _keys(ids: Sequence[Any]) -> tuple[Key, ...]:
    """Return the ids that tell a call: not an empty text, not None."""
    return tuple(dict.fromkeys(one for one in ids if (type(one) is str and one) or type(one) is int))


def _plain(name: Any) -> str:
    return spelled(name) if type(name) is str and len(name) <= 64 else ""


@lru_cache(maxsize=4_096)
def spelled(name: str) -> str:
    """Return a name in the one spelling: `tool_result` for `toolResult`, `tool-result` and `TOOL_RESULT`."""
    name = name if name.isupper() else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return name.lower().replace("-", "_").replace(".", "_")
