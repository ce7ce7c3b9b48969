"""The kit says no: every clause fails on a backend, or on stores, with a fault against this clause."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import Stores, StowfastError
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import ARTIFACT_STORE, BACKEND, MESSAGE_STORE, STORES, TASK_STATE_STORE, Shared, feeds, run
from stowfast.testing.artifacts import followers
from stowfast.testing.backend import lifecycle as lifecycle_clauses
from stowfast.testing.backend import names as names_clauses
from stowfast.testing.messages import watch
from stowfast.testing.tasks import watches
from tests.mutants import MUTANTS, opened, protocols
from tests.mutants.backend import lifecycle, names
from tests.mutants.stores import broken

if TYPE_CHECKING:
    from stowfast.testing import Clause, Make

HERE = Path(__file__).parent
MODULES = [
    import_module(".".join(("tests", *path.relative_to(HERE.parent).with_suffix("").parts)))
    for path in sorted(HERE.rglob("*.py"))
    if not path.name.startswith(("test_", "__init__", "generated", "alone", "survivors"))
]
"""Every module of mutants made by hand. The import registers them."""

CLAUSES: tuple[Clause[Any], ...] = (*BACKEND, *MESSAGE_STORE, *ARTIFACT_STORE, *TASK_STATE_STORE, *STORES)
PAIRS = [
    pytest.param(clause, mutant, id=f"{clause.__name__}-{mutant.__name__}")
    for clause in CLAUSES
    for mutant in MUTANTS.get(clause, ())
]
RACES = 10
"""Runs of a clause before its mutant counts as let pass: who wins a race between threads is left to the system."""
BASES = {
    *("Alters", "Rewrites", "KeepsTheNewest", "CompactsAs", "ReadsWith", "Encodes", "ChangesOnce", "DropsEmptyRows"),
    *("ForgetsOneKind", "ForgetsOneKindWithTheStream"),
    *(
        "WithToken",
        "AppendsOneByOne",
        "HasUrls",
        "_HasUrls",
        "_Renames",
        "Copies",
        "Conversations",
        "Artifacts",
        "TaskStates",
    ),
}
"""Base classes of mutants, not broken themselves."""


def made(clause: Clause[Any], kind: type) -> Make[Any]:
    """Open a mutant for a clause: as stores over one backend in memory, or as it is."""
    if clause not in STORES:
        return opened(kind)
    backend, whole = MemoryBackend(), broken(kind)
    return lambda: whole(Shared(backend))


@pytest.mark.parametrize(("clause", "mutant"), PAIRS)
async def test_a_mutant_is_found(clause, mutant, monkeypatch):
    # News that never comes need not be waited for as long here.
    for module, name, seconds in (
        (lifecycle_clauses, "PATIENCE", 0.3),
        (names_clauses, "PATIENCE", 0.3),
        (watch, "SECONDS", 0.2),
        (watches, "SECONDS", 1.0),
        (followers, "SECONDS", 1.0),
        (feeds, "SECONDS", 1.0),
    ):
        monkeypatch.setattr(module, name, seconds)
    results = await run([clause], made(clause, mutant))
    while results[-1].passed and len(results) < RACES:
        results += await run([clause], made(clause, mutant))
    result = results[-1]
    assert not result.passed, f"{clause.__name__} let {mutant.__name__} pass {RACES} times"
    told = (AssertionError, StowfastError, TimeoutError) if clause in STORES else (AssertionError, StowfastError)
    assert isinstance(result.error, told), repr(result.error)
    assert clause in STORES or str(result.error), "an error says what is wrong"


def test_every_clause_has_a_mutant_and_every_mutant_a_clause():
    assert [clause.__name__ for clause in CLAUSES if clause not in MUTANTS] == []
    assert [clause.__name__ for clause in MUTANTS if clause not in CLAUSES] == []
    used = {mutant for mutants in MUTANTS.values() for mutant in mutants}
    for module in MODULES:
        written = {thing for thing in vars(module).values() if isinstance(thing, type)}
        assert {one.__name__ for one in written - used if one.__module__ == module.__name__} - BASES == set()


@pytest.mark.parametrize("clause", STORES, ids=lambda clause: clause.__name__)
async def test_whole_stores_are_let_pass(clause) -> None:
    await clause(made(clause, Stores))


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
async def test_the_classes_that_mutants_are_made_from_pass(clauses, store):
    assert [result for result in await run(clauses, opened(store)) if not result.passed] == []
