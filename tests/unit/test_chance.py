"""Random numbers for pauses: they come from every part of the range, and from nowhere else."""

from __future__ import annotations

from stowfast import chance


def test_numbers_are_spread_over_the_range_and_never_outside() -> None:
    found = [chance.uniform(0.5, 1.0) for _ in range(2_000)]
    assert 0.5 <= min(found) < 0.55
    assert 0.95 < max(found) <= 1.0
    assert len(set(found)) > 1_900
