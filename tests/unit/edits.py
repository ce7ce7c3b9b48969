"""JSON values and random edits of them, for tests of histories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from stowfast.testing.tasks.states import noise

if TYPE_CHECKING:
    import random

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)


def some(chance: random.Random) -> Any:
    return chance.choice(
        [
            None, True, 1, 1.0, -0.0, 2**70, "", "é日\u2028\x00", [], {}, [[]], {"": []}, chance.random(),
            noise(chance.choice((5, 50, 500)), chance.random()), "x" * chance.choice((3, 3_000)), list(range(40)),
        ]
    )  # fmt: skip


def edited(value: Any, chance: random.Random) -> Any:
    """Return a value with one edit, anywhere in it."""
    if chance.random() < 0.02:
        return some(chance)
    if isinstance(value, list) and value:
        at = chance.randrange(len(value))
        how = chance.randrange(6)
        if how == 0:
            return [*value[:at], *value[at + 1 :]]
        if how == 1:
            return [*value[:at], some(chance), *value[at:]]
        if how == 2:
            return [*value[at:], *value[:at]]
        if how == 3:
            return [*value, some(chance)]
        return [*value[:at], edited(value[at], chance), *value[at + 1 :]]
    if isinstance(value, dict) and value:
        key = chance.choice(list(value))
        how = chance.randrange(5)
        if how == 0:
            return {one: inner for one, inner in value.items() if one != key}
        if how == 1:
            return {noise(8, chance.random()): some(chance), **value}
        return {**value, key: edited(value[key], chance)}
    if isinstance(value, str) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice(("", "é", "\n\\", noise(20, at))) + value[at + chance.randrange(3) :]
    return some(chance)


def written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
