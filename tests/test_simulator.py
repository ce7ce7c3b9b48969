"""The object-storage protocol in histories from seeds, and broken variants of it that must be caught."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulator.bucket import Violation
from tests.simulator.run import simulate
from tests.simulator.variants import VARIANTS, refused

HISTORIES = 20_000
CHUNK = 500


@pytest.mark.parametrize("first", range(0, HISTORIES, CHUNK))
def test_no_history_breaks_a_promise(first):
    done: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        try:
            done.update(simulate(seed))
        except Violation as violation:
            pytest.fail(f"python -m tests.simulator --trace {seed}: {violation}")
    print(
        f"seeds {first} to {first + CHUNK - 1}:", ", ".join(f"{count:,} {what}" for what, count in sorted(done.items()))
    )
    assert done["histories"] == CHUNK
    # A history in which nothing goes wrong, or nobody succeeds, proves little.
    for what in ("acknowledged", "repeats", "unavailable", "crashes", "late effects", "lost commits", "late deletes"):
        assert done[what] >= CHUNK // 50, what


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(name):
    variant = VARIANTS[name]
    for seed in range(variant.seeds):
        try:
            variant.run(seed)
        except Violation as violation:
            print(f"{name}: seed {seed}: {violation}")
            return
    pytest.fail(f"{variant.seeds} histories of it, and nothing was noticed")


def test_a_store_that_refuses_every_update_gets_no_falsehood_and_no_endless_loop():
    done: Counter[str] = Counter()
    for seed in range(200):
        done.update(refused(seed))
    assert done["unavailable"] > done["acknowledged"] > 0


def test_the_same_seed_is_the_same_history():
    first: list[str] = []
    second: list[str] = []
    simulate(7, trace=first.append)
    simulate(7, trace=second.append)
    assert first == second
    assert len(first) > 10
