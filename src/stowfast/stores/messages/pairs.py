"""Pairs: messages that a provider takes together or not at all, and the windows that tear none.

A result belongs to the nearest unanswered call of its id before it; without an id to the nearest unanswered call. A
further part of a result belongs to the call of the first. Output of the Responses API belongs to the reasoning before
it: the API refuses either without the other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stowfast.stores.messages.formats import Event, Key, Reading

__all__ = ["Pairs", "pair"]


class Pairs(NamedTuple):
    """The pairs among consecutive messages."""

    first: list[int]
    """For each message the first that it cannot be without; its own number if there is none."""
    is_open: list[bool]
    """Whether a message may belong to one before these: look further back."""
    unanswered: set[int]
    """Messages with a call that is not answered."""
    opens: list[bool]
    """Whether a message opens a call."""
    answers: list[bool]
    """Whether a message answers a call."""

    def first_whole(self, start: int) -> int:
        """Return the first start from here on of a window that tears no pair."""
        for number in range(start, len(self.first)):
            if self.first[number] < start:
                start = number + 1  # all up to here belong to something that is left out
        return start

    def last_whole(self, start: int) -> int:
        """Return the last start up to here of a window that tears no pair, nor a call from a result still to come."""
        calls, results = self._end()
        start = min([start, *(number for number in range(calls, results) if number in self.unanswered)])
        number = len(self.first) - 1
        while number >= start:
            start = min(start, self.first[number])
            number -= 1
        return start

    def reaches_back(self, start: int) -> bool:
        """Tell whether a message of this window may belong to one before all of these."""
        return any(self.is_open[start:])

    def ends_in_calls(self) -> bool:
        """Tell whether the calls at the end, with the results behind them, go on before all of these."""
        return self._end()[0] == 0

    def _end(self) -> tuple[int, int]:
        """Return the start of the calls at the end, and of the results behind them: the talk has not gone on since."""
        results = len(self.first)
        while results and self.answers[results - 1] and not self.opens[results - 1]:
            results -= 1
        calls = results
        while calls and self.opens[calls - 1]:
            calls -= 1
        return calls, results


class _OpenedCall:
    __slots__ = ("answered_in", "message", "run")

    def __init__(self, message: int, run: int) -> None:
        self.message = message
        self.run = run
        self.answered_in = -1
        """The run of its last answer; -1: it is unanswered."""


class _Calls:
    """The calls so far, by id. A run is a number of calls and results with no other message between them."""

    def __init__(self) -> None:
        self._every: list[_OpenedCall] = []
        self._waiting: list[_OpenedCall] = []
        self._nameless: list[_OpenedCall] = []
        self._by_key: defaultdict[Key, list[_OpenedCall]] = defaultdict(list)
        self._newest: dict[Key, _OpenedCall] = {}
        self._last_answered: _OpenedCall | None = None

    def add(self, call: _OpenedCall, keys: Sequence[Key]) -> None:
        self._every.append(call)
        self._waiting.append(call)
        if not keys:
            self._nameless.append(call)
        for key in keys:
            self._by_key[key].append(call)
            self._newest[key] = call

    def answer(self, run: int, event: Event) -> tuple[_OpenedCall | None, bool]:
        """Return the call that a result belongs to, and whether a call before all of these may be the one."""
        call, is_open = self._find(run, event)
        if call is not None:
            call.answered_in = run
            self._last_answered = call
        return call, is_open

    def _find(self, run: int, event: Event) -> tuple[_OpenedCall | None, bool]:
        keys = event.keys
        is_named = any(type(key) is str for key in keys)
        waiting = _later(_unanswered(self._by_key[key]) for key in keys)
        if waiting is None and not is_named:
            waiting = _unanswered(self._waiting)
        known = _later(self._newest.get(key) for key in keys) if is_named else self._last_answered
        is_part = known is not None and known.answered_in == run
        if waiting is not None and known is not None and is_part and waiting.run < run:
            # A further part of a result, unless a newer call waits: not the result of a call that the talk left behind.
            is_part = known.message > waiting.message
        elif waiting is not None:
            is_part = False
        if is_part:
            return known, run == 0
        if waiting is not None:
            return waiting, False
        if not is_named:
            return None, True
        return known or _unanswered(self._nameless), True

    def unanswered(self) -> set[int]:
        return {call.message for call in self._every if call.answered_in < 0}


def pair(readings: Sequence[Reading]) -> Pairs:
    """Return the pairs among consecutive messages."""
    calls, run = _Calls(), 0
    opens = [any(not event.answers for event in reading.events) for reading in readings]
    answers = [any(event.answers for event in reading.events) for reading in readings]
    found = Pairs([], [], set(), opens, answers)
    reasoning, is_known = -1, False
    for number, reading in enumerate(readings):
        first, is_open = number, False
        if not reading.is_output:
            reasoning, is_known = -1, True
        elif reading.is_reasoning:
            reasoning, is_known = number, True
        else:
            first, is_open = (reasoning if reasoning >= 0 else number), not is_known
        run += not reading.events
        for event in reading.events:
            if event.answers:
                call, may_be_earlier = calls.answer(run, event)
                first = first if call is None else min(first, call.message)
                is_open = is_open or may_be_earlier
            else:
                calls.add(_OpenedCall(number, run), event.keys)
        found.first.append(first)
        found.is_open.append(is_open)
    found.unanswered.update(calls.unanswered())
    return found


def _unanswered(calls: list[_OpenedCall]) -> _OpenedCall | None:
    """Return the newest unanswered of these, and forget the answered ones behind it."""
    while calls and calls[-1].answered_in >= 0:
        calls.pop()
    return calls[-1] if calls else None


def _later(calls: Iterable[_OpenedCall | None]) -> _OpenedCall | None:
    return max((call for call in calls if call is not None), key=lambda call: call.message, default=None)
