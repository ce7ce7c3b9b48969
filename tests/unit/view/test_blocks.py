"""The messages of every maker as blocks. `python -m tests.unit.view.test_blocks` writes the golden file anew."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowfast.testing.data.frameworks import FRAMEWORKS
from stowfast.testing.data.providers import PROVIDERS
from stowfast.view.blocks import spoken

GOLDEN = Path(__file__).with_name("blocks.json")
SHAPES = {**FRAMEWORKS, **PROVIDERS}
UNKNOWN = {"Semantic Kernel in .NET"}
"""Forms that are shown as JSON: nobody has asked for more yet."""


def shown(name: str) -> list[dict[str, Any]]:
    return [asdict(spoken(message)) for message in SHAPES[name]]


@pytest.mark.parametrize("name", SHAPES)
def test_a_message_of_each_maker_is_shown_as_ever(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert json.loads(json.dumps(shown(name))) == golden[name]


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - UNKNOWN))
def test_the_answer_of_each_maker_is_text_of_the_assistant(name: str) -> None:
    last = spoken(SHAPES[name][-1])
    assert any(block.kind == "text" and block.text for block in last.blocks)


def test_a_picture_has_its_source() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"inline_data": {"mime_type": "image/png", "data": "AA=="}},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
    ]
    found = spoken({"role": "user", "content": parts}).blocks
    assert [(block.kind, block.source) for block in found] == [("picture", "data:image/png;base64,AA==")] * 4


def test_reasoning_is_apart_from_the_text() -> None:
    for message in (
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "42"}]},
        {"role": "assistant", "reasoning_content": "hm", "content": "42"},
        {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "42"}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "42"}]},
    ):
        assert [(b.kind, b.text) for b in spoken(message).blocks] == [("reasoning", "hm"), ("text", "42")], message


keys = st.sampled_from(
    [
        "role",
        "content",
        "parts",
        "type",
        "text",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "data",
        "image_url",
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | keys, inner, max_size=4),
    max_leaves=30,
)


@given(st.dictionaries(keys | st.text(max_size=8), json_values, max_size=6))
def test_no_message_is_an_error(message: dict[str, Any]) -> None:
    found = spoken(message)
    json.dumps([asdict(block) for block in found.blocks])


def test_a_deep_message_is_shown() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = {"content": [deep]}
    assert spoken({"role": "user", "content": [deep]}).blocks


if __name__ == "__main__":
    GOLDEN.write_text(
        json.dumps({name: shown(name) for name in SHAPES}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
