"""The proof, shipped: every sentence of the contract as a function that a place passes or fails. Needs no test runner.

    results = await run(BACKEND, make)

asks a backend; `make()` opens the same place again, as an async context manager. A clause is a plain function, so any
test runner can ask them one by one:

    @pytest.mark.parametrize("clause", BACKEND)
    async def test_my_place(clause):
        await clause(make)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.testing import protocols
from stowfast.testing.artifacts import ARTIFACTS
from stowfast.testing.backend import BACKEND_CLAUSES
from stowfast.testing.clause import Clause, Make, Result, run
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.messages import MESSAGES
from stowfast.testing.tasks import TASKS
from stowfast.wrappers import Prefixed, Shared

if TYPE_CHECKING:
    from stowfast.abc import ArtifactStore, Backend, MessageStore, TaskStateStore
    from stowfast.stores import Stores

__all__ = [
    "ARTIFACT_STORE",
    "BACKEND",
    "MESSAGE_STORE",
    "STORES",
    "TASK_STATE_STORE",
    "Clause",
    "LosesAnswers",
    "Make",
    "Prefixed",
    "Result",
    "Shared",
    "run",
]

BACKEND: Final[tuple[Clause[Backend], ...]] = BACKEND_CLAUSES
"""What every place promises: all of `stowfast.abc.Backend`."""

MESSAGE_STORE: Final[tuple[Clause[MessageStore], ...]] = protocols.MESSAGES
"""What everything that takes a message store relies on, of any class with the two methods."""

ARTIFACT_STORE: Final[tuple[Clause[ArtifactStore], ...]] = protocols.ARTIFACTS
"""The same of an artifact store."""

TASK_STATE_STORE: Final[tuple[Clause[TaskStateStore], ...]] = protocols.TASK_STATES
"""The same of a task state store."""

STORES: Final[tuple[Clause[Stores], ...]] = (*MESSAGES, *ARTIFACTS, *TASKS)
"""What `stowfast.Stores` promises over any place: every sentence of the three stores."""
