"""Clauses of the backend interface."""

from __future__ import annotations

from typing import Final

from stowfast.testing.backend import (
    blobs,
    heads,
    idempotency,
    incarnations,
    laws,
    lifecycle,
    log,
    many,
    names,
    origins,
    reads,
    recency,
)

BACKEND_CLAUSES: Final = (
    *log.CLAUSES,
    *reads.CLAUSES,
    *laws.CLAUSES,
    *many.CLAUSES,
    *idempotency.CLAUSES,
    *heads.CLAUSES,
    *incarnations.CLAUSES,
    *names.CLAUSES,
    *recency.CLAUSES,
    *blobs.CLAUSES,
    *origins.CLAUSES,
    *lifecycle.CLAUSES,
)
