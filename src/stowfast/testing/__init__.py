"""The contract as functions that a backend or store passes or fails. Needs no test runner.

    results = await run(BACKEND, make)

runs all clauses on a backend; `make()` opens the same storage again, as an async context manager. A clause is a plain
function, so any test runner can run them one by one:

    @pytest.mark.parametrize("clause", BACKEND)
    async def test_my_backend(clause):
        await clause(make)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.testing import feeds, protocols, retention, rules, scopes, whole
from stowfast.testing.artifacts import ARTIFACTS
from stowfast.testing.backend import BACKEND_CLAUSES
from stowfast.testing.clause import Clause, Make, Result, run
from stowfast.testing.documents import DOCUMENTS
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
"""The promises of every backend: all of `stowfast.abc.Backend`."""

MESSAGE_STORE: Final[tuple[Clause[MessageStore], ...]] = protocols.MESSAGES
"""The promises of a message store: any class with its two methods."""

ARTIFACT_STORE: Final[tuple[Clause[ArtifactStore], ...]] = protocols.ARTIFACTS
"""The promises of an artifact store."""

TASK_STATE_STORE: Final[tuple[Clause[TaskStateStore], ...]] = protocols.TASK_STATES
"""The promises of a task state store."""

STORES: Final[tuple[Clause[Stores], ...]] = (
    *MESSAGES, *ARTIFACTS, *TASKS, *DOCUMENTS, *whole.CLAUSES, *scopes.CLAUSES, *feeds.CLAUSES, *retention.CLAUSES,
    *rules.CLAUSES,
)  # fmt: skip
"""The promises of `stowfast.Stores` on any backend: every sentence of the stores."""
