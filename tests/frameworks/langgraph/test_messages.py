"""Lists of messages as bytes: always those that the serializer makes, with few messages serialized."""

from __future__ import annotations

import random
from enum import Enum
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from stowfast.adapters.langgraph import StowfastSaver
from stowfast.adapters.langgraph.messages import Serialized, serialized
from tests.frameworks.langgraph.graphs import checkpoint, config

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

SERDE = JsonPlusSerializer(allowed_msgpack_modules=None)


class Colour(str, Enum):  # noqa: UP042 - LangGraph stores it otherwise than its equal text
    RED = "red"


class Name(str):
    __slots__ = ()


SUFFIX = ["!"]


class Shout(HumanMessage):
    volume: int = 0

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"content": f"{self.content} {SUFFIX[-1]}", "type": "human"}


def made(number: int) -> BaseMessage:
    call = {"name": "pay", "args": {"bill": number}, "id": f"call-{number}", "type": "tool_call"}
    kinds: tuple[Callable[[], BaseMessage], ...] = (
        lambda: HumanMessage(f"text {number}", id=f"m{number}"),
        lambda: AIMessage(
            "", tool_calls=[call], usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        ),
        lambda: ToolMessage([{"type": "text", "text": "done"}], tool_call_id=f"call-{number}", artifact={"n": number}),
        lambda: SystemMessage("rules", extra_field=[number]),
    )
    return kinds[number % len(kinds)]()


def same(values: Any, before: Serialized | None, serde: JsonPlusSerializer = SERDE) -> Serialized:
    found = serialized(serde, "messages", values, before)
    assert (found.value.name, found.value.type, found.value.data) == ("messages", *serde.dumps_typed(values))
    return found


def test_a_list_that_grows_has_the_bytes_of_the_serializer() -> None:
    values, before = list[BaseMessage](), None
    for number in range(70):
        before = same(values, before)
        values = [*values, *(made(number + more) for more in range(number % 3))]
    many = [HumanMessage("x")] * (2**16 - 2)
    for _ in range(4):  # the length takes two bytes more
        before = same(many, before)
        many = [*many, HumanMessage("y")]


def test_a_message_changed_in_place_is_stored_as_it_is() -> None:
    meta: Any = {"n": 1, "list": [{"a": None}], "kept": "red", "data": b"x"}
    message = HumanMessage("old", additional_kwargs=meta, response_metadata={})
    values: list[Any] = [made(0), message, made(2)]
    before = same(values, None)

    def change(function: Callable[[], object]) -> None:
        nonlocal before
        function()
        values.append(made(len(values)))
        before = same(values, before)

    change(lambda: setattr(message, "content", "new"))
    kwargs = message.additional_kwargs
    for key, value in (
        ("n", True), ("n", 1.0), ("n", 0.0), ("n", -0.0), ("n", 2**63), ("list", [{"a": 1}]), ("list", ({"a": 1},)),
        ("kept", Colour.RED), ("kept", "red"), ("kept", Name("red")), ("data", bytearray(b"x")), ("n", 3 + 0j == 3),
    ):  # fmt: skip
        change(lambda key=key, value=value: kwargs.__setitem__(key, value))  # type: ignore[misc]
    change(lambda: kwargs["list"][0].update(deep={"er": 1}))
    change(lambda: kwargs.update({1: "a number as a key"}))
    change(lambda: kwargs.pop(1))
    change(lambda: setattr(message, "an_extra_field", 5))
    change(values.reverse)
    change(lambda: values.pop(1))
    change(lambda: values.insert(0, made(7)))
    change(lambda: values.__setitem__(0, AIMessage("text")))
    change(lambda: values.__setitem__(0, SystemMessage("text")))
    change(lambda: values.__setitem__(0, None))
    change(lambda: values.__setitem__(0, b"bytes"))
    change(lambda: values.__setitem__(0, {"content": "a plain dict"}))


def test_random_changes_have_the_bytes_of_the_serializer() -> None:
    chance, values, before = random.Random(5), list[Any](), None
    for number in range(400):
        match chance.randrange(8):
            case 0 if values:
                del values[chance.randrange(len(values)) :]
            case 1 if values:
                chance.choice(values).additional_kwargs["n"] = chance.choice([1, True, 1.0, "1", [1], (1,), None])
            case 2 if values:
                values[chance.randrange(len(values))] = made(number)
            case _:
                values = [*values, made(number)]
        before = same(values, before)


def test_other_values_and_subclasses_are_left_to_the_serializer() -> None:
    class Own(JsonPlusSerializer):
        def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
            type, data = super().dumps_typed(obj)
            return type, data + bytes([len(obj)])

    values: list[Any] = [made(0), made(1)]
    assert same(values, same(values[:1], None, Own()), Own()).number == 0
    shout: list[Any] = [made(0), Shout(content="hey")]
    before = same(shout, same(shout[:1], None))
    SUFFIX.append("?")
    same([*shout, made(2)], before)
    for other in (tuple(values), {"a": values}, "text", None, b"bytes", [], [1, 2], [[made(0)]]):
        same(other, same(values, None))
        same(values, same(other, None))


def test_only_new_messages_are_asked_for_their_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[object]()
    dump = BaseMessage.model_dump

    def counted(self: BaseMessage, **options: Any) -> dict[str, Any]:
        asked.append(self)
        return dump(self, **options)

    monkeypatch.setattr(BaseMessage, "model_dump", counted)
    values = [made(number) for number in range(50)]
    with StowfastSaver("memory:") as saver:
        here = saver.put(config(), checkpoint(0, it=values), {"source": "input", "step": -1}, {"it": 1})
        asked.clear()
        values = [*values, made(50)]
        here = saver.put(here, checkpoint(1, it=values), {"source": "loop", "step": 1}, {"it": 2})
        assert asked == [values[-1]]
        values[3].content = "changed in place"
        values = [*values, made(51)]
        saver.put(here, checkpoint(2, it=values), {"source": "loop", "step": 2}, {"it": 3})
        found = saver.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"]["it"] == values
