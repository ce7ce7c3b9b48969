"""The object-storage protocol, and tasks over it, in histories from seeds; and broken variants that must be caught."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.amount import mostly_soak, part
from tests.simulator.bucket import Violation
from tests.simulator.run import simulate
from tests.simulator.tasks.run import simulate_tasks
from tests.simulator.tasks.variants import TASK_VARIANTS
from tests.simulator.variants import VARIANTS, refused

CHUNK, QUICK, HISTORIES = 500, 2_000, part(20_000)
TASK_CHUNK, TASK_QUICK, TASK_HISTORIES = 250, 500, part(4_000)
ALL_VARIANTS = VARIANTS | TASK_VARIANTS


def play(kind, seeds, option=""):
    done: Counter[str] = Counter()
    for seed in seeds:
        try:
            done.update(kind(seed))
        except Violation as violation:
            pytest.fail(f"python -m tests.simulator {option}--trace {seed}: {violation}")
    print(f"{option}seeds {seeds}:", ", ".join(f"{count:,} {what}" for what, count in sorted(done.items())))
    assert done["histories"] == len(seeds)
    return done


@pytest.mark.parametrize("first", mostly_soak(range(0, HISTORIES, CHUNK), lambda first: first < QUICK))
def test_no_history_breaks_a_promise(first):
    done = play(simulate, range(first, first + CHUNK))
    # A history in which nothing goes wrong, or nobody succeeds, proves little.
    for what in ("acknowledged", "repeats", "unavailable", "crashes", "late effects", "lost commits", "late deletes"):
        assert done[what] >= CHUNK // 50, what


@pytest.mark.parametrize("first", mostly_soak(range(0, TASK_HISTORIES, TASK_CHUNK), lambda first: first < TASK_QUICK))
def test_no_history_breaks_a_promise_of_tasks(first):
    done = play(simulate_tasks, range(first, first + TASK_CHUNK), "--tasks ")
    for what in (
        "acknowledged", "repeats", "unavailable", "crashes", "late effects", "leases passed on", "save refused",
        "claim made", "claim_next made", "renew refused", "release made", "record made", "prune made", "delete made",
    ):  # fmt: skip
        assert done[what] >= TASK_CHUNK // 50, what


@pytest.mark.parametrize("name", ALL_VARIANTS)
def test_a_broken_variant_is_caught(name):
    variant = ALL_VARIANTS[name]
    for seed in (variant.caught, *range(variant.seeds)):
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


@pytest.mark.parametrize("kind", [simulate, simulate_tasks])
def test_the_same_seed_is_the_same_history(kind):
    first: list[str] = []
    second: list[str] = []
    kind(7, trace=first.append)
    kind(7, trace=second.append)
    assert first == second
    assert len(first) > 10
