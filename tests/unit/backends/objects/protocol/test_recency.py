"""Listings by recency of a bucket: held to a model, under coarse clocks, clocks that differ, and quiet changes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from stowfast.abc import Change, Query
from stowfast.backends.objects.protocol.commit import commit
from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.listing import listing
from stowfast.backends.objects.protocol.requests import All, Environment, Put
from stowfast.backends.objects.protocol.sweep import survey, sweep_stream
from stowfast.cursors import parse_cursor
from tests.simulator.bucket import Bucket

SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND


class Place:
    """A bucket whose clock counts in steps, and is ahead of the writers'."""

    def __init__(self, step: int, ahead: int) -> None:
        self.bucket = Bucket()
        self.now = BEGIN
        self.step = step
        self.ahead = ahead
        self.asked = 0
        ids = iter(range(1, 100_000))
        self.environment = Environment(lambda: self.now, lambda: f"{next(ids):032x}", lambda: 0.5)

    def perform(self, request: Any) -> Any:
        if isinstance(request, All):
            return [self.perform(one) for one in request.requests]
        self.asked += 1
        return self.bucket.apply(request, (self.now + self.ahead) // self.step * self.step)

    def run(self, steps: Any) -> Any:
        result = None
        while True:
            try:
                result = self.perform(steps.send(result))
            except StopIteration as end:
                return end.value

    def commit(self, name: str, change: Change) -> None:
        (outcome,) = self.run(commit(name, None, [change], self.environment)).outcomes
        assert not isinstance(outcome, Exception), outcome

    def pages(self, limit: int, **options: Any) -> list[str]:
        found, after = [], None
        while True:
            query = Query("s/", order="recent", after=after, limit=limit, **options)
            page = self.run(listing(query, parse_cursor(query), self.environment))
            found += [one.name for one in page.streams]
            after = page.after
            if after is None:
                return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("step", "ahead", "quiet"),
    [(SECOND, 0, True), (SECOND, 400_000, False), (SECOND, -25 * SECOND, False), (1_000, 0, True), (1, 0, True)],
)
def test_a_list_is_in_the_order_of_the_changes_that_count(seed: int, step: int, ahead: int, quiet: bool) -> None:
    random, place = Random(seed), Place(step, ahead)
    counted: dict[str, int] = {}
    for _ in range(150):
        place.now += random.choice((1_000, 20_000, 20_000, 3 * SECOND))
        name = f"s/{random.randrange(50)}"
        if quiet and random.random() < 0.3:
            begins = name not in counted
            place.commit(name, Change(note=random.randbytes(9), quiet=True))
            counted[name] = place.now if begins else counted[name]
        elif random.random() < 0.1:
            place.commit(name, Change(delete=True))
            counted.pop(name, None)
        else:
            place.commit(name, Change([b"x"], expires_at=2 * BEGIN if random.random() < 0.2 else None))
            counted[name] = place.now
    wanted = sorted(counted, key=lambda name: -counted[name])
    for limit in (2, 100):
        for heads in (False, True):
            assert place.pages(limit, heads=heads) == wanted


def test_a_list_reads_only_the_heads_that_order_it() -> None:
    place = Place(SECOND, 0)
    for number in range(100):
        place.now += SECOND
        place.commit(f"s/{number}", Change([b"x"]))
    place.asked = 0
    assert place.pages(100) == [f"s/{number}" for number in reversed(range(100))]
    assert place.asked == 1, "one LIST"
    place.commit("s/50", Change(note=b"renamed", quiet=True))
    place.commit("s/51", Change([b"x"]))
    place.asked = 0
    assert place.pages(100)[:2] == ["s/51", "s/99"]
    assert place.asked == 4, "one LIST, the quiet head, and two of one second"


def test_a_sweep_moves_no_stream() -> None:
    place = Place(SECOND, 0)
    for name in ("s/a", "s/b"):
        place.now += SECOND
        place.commit(name, Change([b"x"]))
    place.now += 2 * 86_400 * SECOND
    place.perform(Put(keys_of("s/a").blob(f"{0:032x}-1"), b"an orphan"))
    place.now += 2 * 86_400 * SECOND
    litter, *_ = place.run(survey())
    for one in litter:
        place.run(sweep_stream(one, place.environment))
    assert place.bucket.objects[keys_of("s/a").head].modified == place.now, "the sweep wrote the head"
    assert place.pages(10) == ["s/b", "s/a"]
