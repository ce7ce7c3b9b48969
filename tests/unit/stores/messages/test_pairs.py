"""Windows over conversations with pairs of every maker: no pair torn, no fitting message left out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stowfast.sync
from stowfast import InMemoryMessageStore, InvalidError, Links
from stowfast.blocking import run_in_place
from stowfast.stores.messages.compaction import estimate_tokens
from stowfast.stores.messages.formats import Event, read_links
from stowfast.stores.messages.pairs import pair
from stowfast.testing.data.messages import say
from stowfast.testing.data.pairs import PAIRS
from stowfast.wrappers import Wrapper

Message = dict[str, Any]
ONE_EACH: dict[str, Any] = {"count_tokens": lambda _: 1}
ADJACENT = sorted(name for name in PAIRS if "reasoning" in name)
LINKED = sorted(set(PAIRS) - set(ADJACENT))


@pytest.mark.parametrize("maker", LINKED)
def test_the_first_opens_what_the_second_answers(maker):
    _, first, second, answer = PAIRS[maker]
    opened, answered = read_links(first).events, read_links(second).events
    assert {event.answers for event in opened} == {False}
    assert {event.answers for event in answered} == {True}
    assert any(set(one.keys) & set(other.keys) or not other.keys for one in opened for other in answered)
    assert read_links(answer).events == ()


@pytest.mark.parametrize(
    "message",
    [
        say("x"), {}, {"role": "assistant", "content": "tool"}, {"id": "x", "type": "message", "content": []},
        {"id": "x", "role": "user"}, {"tool_call_id": None}, {"tool_calls": None}, {"tool_calls": [None, 1, "x", []]},
        {"content": [{"type": "text", "text": "tool_use_id"}]}, {"type": ["tool"], "role": {"a": 1}}, {"part_kind": 1},
        {"role": "user", "content": "hello", "call_id": "of a telephone"},
        {"role": "user", "content": [{"type": "search_result", "source": "x", "title": "y", "content": []}]},
        {"role": "assistant", "function_call": None}, {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "approval_request_id": "a", "output": "x"},
        {"role": "assistant", "parts": [{"type": "tool-f", "toolCallId": "x", "input": {}, "output": 42}]},
        {"tool": {"id": "x", "name": "f"}}, {"role": "x" * 10_000},
    ],
)  # fmt: skip
def test_what_is_no_call_ties_nothing(message):
    assert read_links(message).events == ()


def test_the_content_of_a_call_and_of_a_result_ties_nothing():
    asks = {"tool_calls": [{"id": "x", "function": {"arguments": {"tool_call_id": "y", "tool_calls": [{"id": "z"}]}}}]}
    tells = {"role": "tool", "tool_call_id": "x", "content": [{"type": "tool_result", "tool_use_id": "y"}]}
    assert read_links(asks).events == (Event(False, ("x",)),)
    assert read_links(tells).events == (Event(True, ("x",)),)


@pytest.mark.parametrize(("size", "tokens"), [(0, 1), (3, 1), (4, 2), (7, 2), (8, 3), (400, 101)])
def test_the_estimate_is_a_token_for_four_bytes_and_one(size, tokens):
    assert estimate_tokens(b"x" * size) == tokens


class Said(NamedTuple):
    """A message, and the number of its partner, known from making it."""

    message: Message
    needs: int | None = None


def named(message: Any, id: Any) -> Any:
    """Return a message of the table with another id for its call."""
    if isinstance(message, dict):
        return {key: named(value, id) for key, value in message.items()}
    if isinstance(message, list):
        return [named(value, id) for value in message]
    return id if isinstance(message, str) and message in {"x", "a", "adk-1", "mcpr_1", "message-1"} else message


@st.composite
def conversations(draw: st.DrawFn) -> list[Said]:
    """Draw turns of several makers: calls alone or parallel, results in any order, in parts, or never."""
    talk: list[Said] = []
    for turn in range(draw(st.integers(0, 6))):
        maker = draw(st.sampled_from(LINKED))
        ask, first, second, answer = PAIRS[maker]
        talk.append(Said(ask))
        has_id = all(event.keys for event in read_links(second).events)
        ids: list[Any] = draw(
            st.lists(st.sampled_from(["call_0", f"call-{turn}-a", f"call-{turn}-b"]), unique=True, max_size=3)
        )
        opened = []
        for id in ids:
            opened.append((len(talk), id))
            talk.append(Said(named(first, id)))
        # Without ids the order tells the call: the newest first.
        order = draw(st.permutations(opened)) if has_id else opened[::-1]
        for number, id in order[: draw(st.integers(0, len(order)))]:
            for _ in range(draw(st.integers(1, 2))):
                talk.append(Said(named(second, id), number))
                if not has_id:
                    break
        talk.append(Said(answer))
    return talk


def whole(talk: list[Said], start: int) -> bool:
    return all(one.needs is None or one.needs >= start for one in talk[start:])


@pytest.mark.slow
@given(conversations(), st.integers(0, 40))
@settings(max_examples=300)
def test_a_window_is_the_longest_that_fits_and_tears_nothing(talk, fits):
    store = InMemoryMessageStore()
    run_in_place(store.add_messages("c", [one.message for one in talk]))
    found = run_in_place(store.get_messages("c", max_tokens=fits, **ONE_EACH))
    start = next(start for start in range(max(len(talk) - fits, 0), len(talk) + 1) if whole(talk, start))
    assert found == [one.message for one in talk[start:]]


@pytest.mark.slow
@given(conversations(), st.integers(0, 40), st.booleans())
@settings(max_examples=300)
def test_a_compaction_keeps_the_fewest_that_tear_nothing(talk, keep_last, drop):
    everything = [*talk, Said(say("last"))]
    store = InMemoryMessageStore()
    run_in_place(store.add_messages("c", [one.message for one in everything]))
    start = max(len(everything) - keep_last, 0)
    while not whole(everything, start):
        start -= 1
    assert run_in_place(store.compact("c", keep_last=keep_last, summary=say("sum"), drop=drop)) == start
    kept = [one.message for one in everything[start:]]
    assert run_in_place(store.get_messages("c")) == ([say("sum")] if start else []) + kept


@pytest.mark.slow
@given(conversations(), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=3), st.integers(0, 40))
@settings(max_examples=200)
def test_compactions_and_windows_after_one_another_tear_nothing(talk, compactions, fits):
    talk = [Said(say("first")), *(one._replace(needs=one.needs and one.needs + 1) for one in talk)]
    store = InMemoryMessageStore()
    for at, (keep_last, more) in enumerate([*compactions, (0, 0)]):
        start = run_in_place(store.count("c"))
        run_in_place(store.add_messages("c", [one.message for one in talk[start : start + more + 1]]))
        if at < len(compactions):
            run_in_place(store.compact("c", keep_last=keep_last, summary=say("sum")))
    found = run_in_place(store.get_messages("c", max_tokens=fits, **ONE_EACH))
    stored = run_in_place(store.count("c"))
    start = stored - len([message for message in found if message != say("sum")])
    assert whole(talk[:stored], start)


@pytest.mark.parametrize("maker", ADJACENT)
def test_reasoning_stays_with_all_output_behind_it(maker):
    _, reasoning, second, user = PAIRS[maker]
    talk = [say(0), second, say(1), reasoning, second, second, user]
    with stowfast.sync.open("memory:") as stores:
        stores.messages.add_messages("c", talk)
        sizes = [len(stores.messages.get_messages("c", max_tokens=fits, **ONE_EACH)) for fits in range(8)]
    assert sizes == [0, 1, 1, 1, 4, 5, 6, 7]


def test_a_call_that_the_talk_left_behind_holds_no_compaction_back():
    left = {"role": "assistant", "tool_calls": [{"id": "left", "type": "function"}]}
    _, first, second, _ = PAIRS["OpenAI chat"]
    with stowfast.sync.open("memory:") as stores:
        stores.messages.add_messages("c", [say(0), left, first, second, first, second, left, first, second])
        assert stores.messages.compact("c", keep_last=1, summary=say("sum")) == 6


def test_the_pairing_takes_time_in_proportion_to_the_messages():
    calls = [read_links({"tool_calls": [{"id": "x"}]})] * 20_000
    results = [read_links({"role": "tool", "tool_call_id": "x", "content": ""})] * 40_000
    found = pair([*calls, *results])
    assert found.first[20_000] == 19_999
    assert found.first[39_999] == 0
    assert found.unanswered == set()


class _CountsReads(Wrapper):
    reads = 0

    async def read(self, *args: Any) -> Any:
        self.reads += 1
        return await super().read(*args)


async def test_a_window_of_a_chat_costs_one_read():
    messages = stowfast.Messages(backend := _CountsReads(stowfast.InMemoryMessageStore()._backend))
    await messages.add_messages("c", [message for _ in range(40) for message in PAIRS["OpenAI chat"]])
    for fits in range(1, 120):
        backend.reads = 0
        await messages.get_messages("c", max_tokens=fits, **ONE_EACH)
        assert backend.reads == 1


def test_the_function_for_other_formats_is_in_the_sync_face():
    def belongs_to(message: Message) -> Links | None:
        return Links(opens=message.get("asks", ()), answers=message.get("tells", ()))

    with stowfast.sync.open("memory:") as stores:
        stores.messages.add_messages("c", [{"asks": ["q"]}, {"tells": ["q"]}, {}])
        options: dict[str, Any] = {"max_tokens": 2, "belongs_to": belongs_to, **ONE_EACH}
        assert stores.messages.get_messages("c", **options) == [{}]
        assert stores.messages.compact("c", keep_last=2, summary={}, belongs_to=belongs_to) == 0


@given(
    st.lists(
        st.sampled_from(
            ["add", "batch", "pop", "pop again", "sum up", "drop", "replace", "replace all", "fork", "delete"]
        ),
        max_size=12,
    )
)
@settings(max_examples=150)
def test_the_count_and_a_read_agree(steps):
    with stowfast.sync.open("memory:") as stores:
        messages, context = stores.messages, "c0"
        messages.add_message(context, say("first"))
        for number, step in enumerate(steps):
            length = messages.count(context)
            if step == "add":
                messages.add_message(context, say(number), metadata={"n": number})
            elif step == "batch":
                messages.add_messages(context, [say(number)] * 3)
            elif step.startswith("pop"):
                with suppress(InvalidError):  # an op_id of a conversation that was deleted since
                    messages.pop_message(context, op_id="op" if step == "pop again" else None)
            elif step in ("sum up", "drop") and length:
                messages.compact(context, keep_last=2, summary=say("sum"), drop=step == "drop")
            elif step.startswith("replace"):
                info = messages.info(context)
                start = 0 if step == "replace all" or info is None else max(info.compacted, info.next_position - 2)
                messages.replace_messages(context, [say(number)], start=start)
            elif step == "fork" and length:
                context, source = f"c{number + 1}", context
                messages.fork(source, context)
            elif step == "delete":
                messages.delete(context)
            positions = [entry.position for entry in messages.entries(context)]
            found = messages.read(context, originals=True)
            assert [entry.position for entry in found.entries] == positions
            assert messages.count(context) == len(positions)
            assert (found.info.count if found.info else 0) == len(positions)
            listed = [one for one in messages.contexts(info=True) if one.context_id == context]
            assert listed == ([found.info] if found.info else [])


NAMES = ["tool", "assistant", "tool_call", "toolResult", "FunctionCallContent", "x_output", "mcp_approval_response", ""]
KEYS = [
    *("type", "role", "id", "tool_call_id", "call_id", "toolCallId", "tool_calls", "function_call", "content", "parts"),
    *(
        "additional_kwargs",
        "origin",
        "approvals",
        "approvalId",
        "functionResponse",
        "tool_results",
        "name",
        "arguments",
    ),
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["x", "", *NAMES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5), max_size=8), st.integers(0, 8))
@settings(max_examples=400)
def test_messages_of_no_format_break_no_window(messages, fits):
    found = pair([read_links(message) for message in messages])
    assert all(0 <= first <= number for number, first in enumerate(found.first))
    with stowfast.sync.open("memory:") as stores:
        stores.messages.add_messages("c", messages)
        window = stores.messages.get_messages("c", max_tokens=fits, **ONE_EACH)
        assert window == messages[len(messages) - len(window) :]
        assert len(window) <= fits
        if messages:
            kept = len(messages) - stores.messages.compact("c", keep_last=fits, summary=say("sum"))
            assert kept >= min(fits, len(messages))
