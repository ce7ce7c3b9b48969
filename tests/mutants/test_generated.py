"""Every single edit of the semantics and of the backend in memory is found by a clause, or is a listed survivor."""

from __future__ import annotations

import ast
import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

from stowfast.testing import BACKEND, clause, run
from stowfast.testing.backend import lifecycle, names
from tests.mutants import in_memory
from tests.mutants.alone import CHECKS
from tests.mutants.generated import SOURCES, SURVIVORS, Edited, edited, mutated_backend

if TYPE_CHECKING:
    from stowfast.testing import Clause

MUTANTS = [mutant for module in SOURCES for mutant in edited(module)]
ORDER: list[Clause[Any]] = [*CHECKS, *BACKEND]
"""The clauses, the one that found the last mutant first: the next mutant is often of the same function."""


class HungError(Exception):
    """A loop of the mutant does not end."""


def hung(*_: object) -> None:
    raise HungError


def found_by(mutant: Edited) -> str | None:
    """Return the name of a clause that fails on a mutant, None if there is none."""
    try:
        kind = mutated_backend(mutant)
    except Exception:  # noqa: BLE001 - any failure to import it
        return "import"
    for one in ORDER:
        signal.setitimer(signal.ITIMER_VIRTUAL, 4)  # seconds of processor: no clause needs one
        try:
            (result,) = asyncio.run(run([one], in_memory(kind)))
        except HungError:
            return one.__name__
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if not result.passed:
            ORDER.remove(one)
            ORDER.insert(0, one)
            return one.__name__
    return None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # a coroutine that a mutant did not await
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.edit)
def test_a_single_edit_is_found(mutant: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lifecycle, names):
        monkeypatch.setattr(module, "PATIENCE", 0.3)
    monkeypatch.setattr(clause, "SECONDS_A_CLAUSE", 6.0)
    before = signal.signal(signal.SIGVTALRM, hung)
    try:
        finder = found_by(mutant)
    finally:
        signal.signal(signal.SIGVTALRM, before)
    if mutant.edit in SURVIVORS:
        assert finder is None, f"{finder} finds it now: take it from the list of survivors"
    else:
        assert finder, f"no clause finds it: write one, or list it with a reason:\n{mutant.edit}"


def test_the_modules_without_an_edit_keep_every_clause() -> None:
    for module, source in SOURCES.items():
        assert found_by(Edited(module, "", ast.parse(source))) is None


def test_each_survivor_is_a_mutant_of_today() -> None:
    assert SURVIVORS.keys() - {mutant.edit for mutant in MUTANTS} == set()
