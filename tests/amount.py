"""How much of the soak is tried: all of it, or the part that `make soak PART=0.25` names. CI has an hour for all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

T = TypeVar("T")

PART: Final = float(os.environ.get("STOWFAST_SOAK_PART") or 1)
"""Above 0, at most 1."""


def part(count: int, least: int = 1) -> int:
    """Return this part of a count, and never less than `least`."""
    return max(least, round(count * PART))


def sample(items: Sequence[T]) -> Sequence[T]:
    """Return this part of the items, at equal distances."""
    return items[:: round(1 / PART)]


def mostly_soak(cases: Iterable[Any], is_quick: Callable[[Any], bool]) -> list[Any]:
    """Return the cases of a long test for `parametrize`: a few are tried in `make test`, the others in the soak."""
    return [
        pytest.param(*(case if type(case) is tuple else (case,)), marks=() if is_quick(case) else pytest.mark.soak)
        for case in cases
    ]
