"""The kit says no: every clause fails on a place that is broken in just the way it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stowfast.backends.memory import MemoryBackend
from stowfast.errors import StowfastError
from stowfast.testing import ARTIFACT_STORE, BACKEND, MESSAGE_STORE, TASK_STATE_STORE, run
from stowfast.testing.backend import lifecycle as lifecycle_clauses
from stowfast.testing.backend import names as names_clauses
from tests.mutants import MUTANTS, opened, protocols
from tests.mutants.backend import blobs, heads, idempotency, lifecycle, log, names

if TYPE_CHECKING:
    from stowfast.testing import Clause

MODULES = (log, idempotency, heads, names, blobs, lifecycle, protocols)
CLAUSES: tuple[Clause[Any], ...] = (*BACKEND, *MESSAGE_STORE, *ARTIFACT_STORE, *TASK_STATE_STORE)
PAIRS = [
    pytest.param(clause, mutant, id=f"{clause.__name__}-{mutant.__name__}")
    for clause in CLAUSES
    for mutant in MUTANTS.get(clause, ())
]


@pytest.mark.parametrize(("clause", "mutant"), PAIRS)
async def test_a_mutant_is_found(clause, mutant, monkeypatch):
    for module in (lifecycle_clauses, names_clauses):
        monkeypatch.setattr(module, "PATIENCE", 0.3)  # what never comes need not be waited for as long here
    (result,) = await run([clause], opened(mutant))
    assert not result.passed, f"{clause.__name__} let {mutant.__name__} pass"
    assert isinstance(result.error, (AssertionError, StowfastError)), repr(result.error)
    assert str(result.error), "an error says what is wrong"


def test_every_clause_has_a_mutant():
    assert [clause.__name__ for clause in CLAUSES if clause not in MUTANTS] == []


def test_every_mutant_breaks_something():
    wrong = {mutant for mutants in MUTANTS.values() for mutant in mutants}
    honest = {protocols.Conversations, protocols.Artifacts, protocols.TaskStates, names._Renames, lifecycle._HasUrls}
    written = {
        thing
        for module in MODULES
        for thing in vars(module).values()
        if getattr(thing, "__module__", "") == module.__name__ and isinstance(thing, type)
    }
    assert written - wrong - honest == set()


@pytest.mark.parametrize(
    ("clauses", "store"),
    [
        (BACKEND, MemoryBackend),
        (BACKEND, names._Renames),
        (BACKEND, lifecycle._HasUrls),
        (MESSAGE_STORE, protocols.Conversations),
        (ARTIFACT_STORE, protocols.Artifacts),
        (TASK_STATE_STORE, protocols.TaskStates),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_the_mutants_are_made_from_passes(clauses, store):
    assert [result for result in await run(clauses, opened(store)) if not result.passed] == []
