"""A commit without success ends after its patience, whatever happens to the clock."""

from __future__ import annotations

from itertools import count

import pytest

from stowfast import UnavailableError
from stowfast.abc import Change
from stowfast.backends.objects.protocol.commit import PATIENCE, commit
from stowfast.backends.objects.protocol.requests import Environment, Put, Request, drive

TRY = 5_000_000
"""Microseconds from one look at a clock to the next."""


def test_a_clock_that_is_set_back_makes_no_commit_longer() -> None:
    """A store that takes no PUT, while the clock goes back by a minute at each look."""
    back, steady, ids = count(10**15, -60_000_000), count(0, TRY), count(1)
    environment = Environment(lambda: next(back), lambda: f"{next(ids):032x}", lambda: 0.0, steady=lambda: next(steady))
    puts = []

    def perform(request: Request) -> None:
        if isinstance(request, Put):
            puts.append(request)
            assert len(puts) < 100, "it does not end"

    with pytest.raises(UnavailableError, match="took none of"):
        drive(commit("messages/c", None, [Change(entries=(b"{}",))], environment), perform)
    assert len(puts) <= PATIENCE // TRY + 2
