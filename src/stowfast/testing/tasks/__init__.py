"""Clauses of the task state store."""

from __future__ import annotations

from typing import Final

from stowfast.testing.tasks import (
    changes,
    clocks,
    damage,
    history,
    laws,
    leases,
    lists,
    races,
    retention,
    saving,
    steps,
    watches,
    workers,
)

TASKS: Final = (
    *saving.CLAUSES,
    *laws.CLAUSES,
    *history.CLAUSES,
    *changes.CLAUSES,
    *leases.CLAUSES,
    *workers.CLAUSES,
    *watches.CLAUSES,
    *clocks.CLAUSES,
    *steps.CLAUSES,
    *retention.CLAUSES,
    *lists.CLAUSES,
    *damage.CLAUSES,
    *races.CLAUSES,
)
