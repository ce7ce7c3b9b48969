"""Marks of a run: the state of a thread when the run last saw a checkpoint.

A mark lives in the context of the caller, as the engine copies the context of a run into its threads and tasks. So two
runs of one process have marks of their own, also for the same checkpoint.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Mark", "mark", "mark_of"]

Key: TypeAlias = "tuple[int, str, str, str | None]"
"""Saver, thread, namespace and checkpoint; None: the absence of any checkpoint in the namespace."""

_MAX_MARKS: Final = 1_000


class Mark(NamedTuple):
    """A state of a thread's stream."""

    incarnation: str | None
    """None: there was no such thread."""
    next: int


def mark(keys: Iterable[Key], incarnation: str | None, next: int) -> None:
    """Note that the caller's run has seen checkpoints in this state of their thread."""
    marks = dict(_marks.get())
    for key in keys:
        marks.pop(key, None)
        marks[key] = Mark(incarnation, next)
    if len(marks) > _MAX_MARKS:
        marks = dict(list(marks.items())[-_MAX_MARKS:])
    _marks.set(marks)


def mark_of(key: Key) -> Mark | None:
    """Return the mark of a checkpoint; None if the run has not seen it."""
    return _marks.get().get(key)


_EMPTY: Final[Mapping[Key, Mark]] = {}
_marks: Final[ContextVar[Mapping[Key, Mark]]] = ContextVar("stowfast_langgraph_marks", default=_EMPTY)
