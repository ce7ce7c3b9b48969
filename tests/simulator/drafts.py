"""Drafts that say what they made: the changes, the time at which each was made, and the outcomes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stowfast.backends.objects.protocol import commit, draft, index, load, read, sweep
from stowfast.backends.objects.protocol.draft import Draft
from stowfast.errors import StowfastError
from tests.simulator.model import Made

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from stowfast.abc import Change, Receipt
    from stowfast.backends.objects.protocol.requests import Environment, Steps
    from stowfast.backends.objects.protocol.state import State

__all__ = ["Outcomes", "WatchedDraft", "remembered", "tune", "watched"]


class Outcomes(list[Any]):
    """The outcomes of a batch, and the draft that they are of."""

    def __init__(self, outcomes: Sequence[Any], draft: WatchedDraft) -> None:
        super().__init__(outcomes)
        self.draft = draft


class WatchedDraft(Draft):
    """A draft of the protocol itself, which can be found by its commit id once it was written."""

    known_by_id: dict[str, WatchedDraft] = {}  # noqa: RUF012 - one history at a time

    def __init__(
        self,
        base: State,
        environment: Environment,
        written: Mapping[str, int],
        buried: Collection[str] = frozenset(),
        *,
        settled: str = "",
        incomplete: bool = False,
    ) -> None:
        self._clock = environment.now
        self._read = 0
        environment = environment._replace(now=self._note)
        super().__init__(base, environment, written, buried, settled=settled, incomplete=incomplete)
        self.base = base
        self.made: list[Made] = []
        self.ended = False
        self.won: int | None = None
        """The step at which it was written."""
        self.known_by_id[self.state.id] = self

    def _note(self) -> int:
        self._read = self._clock()
        return self._read

    def make(self, changes: Sequence[Change]) -> Steps[list[Receipt | StowfastError]]:
        return Outcomes((yield from super().make(changes)), self)

    def _make(self, change: Change) -> Steps[Receipt]:
        try:
            receipt = yield from super()._make(change)
        except StowfastError as error:
            self.made.append(Made(change, self._read, error))
            raise
        self.made.append(Made(change, self._read, receipt))
        return receipt

    def end_expired(self) -> Steps[None]:
        yield from super().end_expired()
        self.ended = self.state.head is None and self.base.head is not None


_TUNED: Any = (
    (commit, "Draft"),
    (sweep, "Draft"),
    (draft, "OPERATIONS_REMEMBERED"),
    (load, "WHOLE"),
    (read, "WHOLE"),
    (index, "_WORTH"),
)


@contextmanager
def watched() -> Iterator[None]:
    """Let the protocol make such drafts. Afterwards all is as it was, also what was tuned."""
    before = [getattr(module, name) for module, name in _TUNED]
    for module, name in _TUNED[:2]:
        setattr(module, name, WatchedDraft)
    try:
        yield
    finally:
        for (module, name), value in zip(_TUNED, before, strict=True):
            setattr(module, name, value)


def tune(remembered: int, whole: int) -> None:
    """Make small what the limits do not hold: how many op_ids are remembered, and what is fetched whole."""
    for (module, name), value in zip(_TUNED[2:], (remembered, whole, whole, 1), strict=True):
        setattr(module, name, value)


def remembered() -> int:
    """Return how many op_ids are remembered once their entries are gone."""
    window: int = _TUNED[2][0].OPERATIONS_REMEMBERED
    return window
