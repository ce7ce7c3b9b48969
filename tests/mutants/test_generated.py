"""Each single edit of a module is found, by a clause or by a unit test of the module, or is a listed survivor."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from stowfast.testing import BACKEND, clause, run
from stowfast.testing.backend import lifecycle, names
from tests.amount import mostly_soak, sample
from tests.mutants import in_memory
from tests.mutants.alone import CHECKS
from tests.mutants.generated import (
    PURE,
    SOURCES,
    SURVIVORS,
    Edited,
    edited,
    mutated_backend,
    mutated_module,
    run_tests,
)

if TYPE_CHECKING:
    from stowfast.testing import Clause

MUTANTS = [mutant for module in SOURCES for mutant in edited(module)]
PURE_MUTANTS = sample([mutant for module in PURE for mutant in edited(module)])
settings.register_profile(
    "mutants", phases=(Phase.explicit, Phase.generate), database=None, derandomize=True, deadline=None,
    max_examples=60, suppress_health_check=list(HealthCheck),
)  # fmt: skip
ORDER: list[Clause[Any]] = [*CHECKS, *BACKEND]
"""The clauses; the finder of the last mutant is first: the next mutant is often of the same function."""


class HungError(Exception):
    """A loop of the mutant does not end."""


def hung(*_: object) -> None:
    raise HungError


def found_by(mutant: Edited) -> str | None:
    """Return the name of a failed clause, None if all pass."""
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
@pytest.mark.parametrize("mutant", mostly_soak(MUTANTS, MUTANTS[::3].__contains__), ids=lambda mutant: mutant.edit)
def test_a_single_edit_is_found(mutant: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lifecycle, names):
        monkeypatch.setattr(module, "PATIENCE", 0.3)
    monkeypatch.setattr(clause, "SECONDS_A_CLAUSE", 6.0)
    before = signal.signal(signal.SIGVTALRM, hung)
    try:
        finder = found_by(mutant)
        if bool(finder) == (mutant.edit in SURVIVORS):  # a loaded machine delays a clause, or hides a race: once more
            finder = found_by(mutant)
    finally:
        signal.signal(signal.SIGVTALRM, before)
    if mutant.edit in SURVIVORS:
        assert finder is None, f"{finder} finds it now: take it from the list of survivors"
    else:
        assert finder, f"no clause finds it: write one, or list it with a reason:\n{mutant.edit}"


def found_by_tests(mutant: Edited) -> str | None:
    """Return the name of a failed unit test, None if all pass."""
    try:
        module = mutated_module(mutant)
    except Exception:  # noqa: BLE001 - any failure to import it
        return "import"
    before = signal.signal(signal.SIGVTALRM, hung)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)  # seconds of processor: all tests of a file need three
    settings.load_profile("mutants")
    try:
        return run_tests(PURE[mutant.module], module)
    except HungError:
        return "hung"
    finally:
        settings.load_profile("house")
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.soak
@pytest.mark.parametrize("mutant", PURE_MUTANTS, ids=lambda mutant: mutant.edit)
def test_a_single_edit_of_a_pure_module_is_found(mutant: Edited) -> None:
    finder = found_by_tests(mutant)
    if mutant.edit in SURVIVORS:
        assert finder is None, f"{finder} finds it now: take it from the list of survivors"
    else:
        assert finder, f"no test finds it: write one, or list it with a reason:\n{mutant.edit}"


def test_the_modules_without_an_edit_keep_every_clause() -> None:
    for module in SOURCES:
        assert found_by(Edited(module)) is None


@pytest.mark.slow
def test_the_pure_modules_without_an_edit_pass_their_tests() -> None:
    assert [found_by_tests(Edited(module)) for module in PURE] == [None]


def test_each_survivor_is_a_mutant_of_today() -> None:
    assert SURVIVORS.keys() - {mutant.edit for mutant in (*MUTANTS, *PURE_MUTANTS)} == set()
