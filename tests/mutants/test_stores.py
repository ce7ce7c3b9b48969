"""The kit says no to stores: every clause fails on one that is broken in just the way it is about."""

from __future__ import annotations

import pytest

from stowfast import Stores, StowfastError
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import STORES, Shared, run
from stowfast.testing.artifacts import followers
from stowfast.testing.messages import watch
from tests.mutants import stores as mutants_stores
from tests.mutants.artifacts import content, datasets, live, reads, requests, writers
from tests.mutants.messages import adding, contexts, windows
from tests.mutants.stores import MUTANTS, broken
from tests.mutants.tasks import history, leases

PAIRS = [
    pytest.param(clause, mutant, id=f"{clause.__name__}-{mutant.__name__}")
    for clause in STORES
    for mutant in MUTANTS.get(clause, ())
]
MODULES = (
    writers,
    datasets,
    live,
    reads,
    requests,
    content,
    contexts,
    adding,
    mutants_stores,
    history,
    leases,
    windows,
)
BASES = {
    "Alters",
    "Rewrites",
    "KeepsTheNewest",
    "ReadsWith",
    "Encodes",
    "ChangesOnce",
    "DropsEmptyRows",
    "AppendsOneByOne",
    "HasUrls",
}


@pytest.mark.parametrize(("clause", "mutant"), PAIRS)
async def test_a_mutant_is_found(clause, mutant, monkeypatch) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.2)  # what never comes need not be waited for as long here
    monkeypatch.setattr(followers, "SECONDS", 1.0)
    place, kind = MemoryBackend(), broken(mutant)
    (result,) = await run([clause], lambda: kind(Shared(place)))
    assert not result.passed, f"{clause.__name__} let {mutant.__name__} pass"
    assert isinstance(result.error, (AssertionError, StowfastError, TimeoutError)), repr(result.error)


@pytest.mark.parametrize("clause", STORES, ids=lambda clause: clause.__name__)
async def test_whole_stores_are_let_pass(clause) -> None:
    place, kind = MemoryBackend(), broken(Stores)
    await clause(lambda: kind(Shared(place)))


def test_every_clause_has_a_mutant_and_every_mutant_a_clause() -> None:
    assert [clause.__name__ for clause in STORES if clause not in MUTANTS] == []
    assert [clause.__name__ for clause in MUTANTS if clause not in STORES] == []
    used = {mutant for mutants in MUTANTS.values() for mutant in mutants}
    for module in MODULES:
        written = {thing for thing in vars(module).values() if isinstance(thing, type)}
        idle = {one.__name__ for one in written - used if one.__module__ == module.__name__}
        assert idle - BASES == set()
