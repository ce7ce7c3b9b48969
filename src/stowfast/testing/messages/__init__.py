"""Clauses of the message store."""

from __future__ import annotations

from typing import Final

from stowfast.testing.messages import (
    adding,
    compaction,
    contexts,
    deletion,
    large_metadata,
    laws,
    pairs,
    recency,
    replacing,
    tokens,
    watch,
    windows,
)

MESSAGES: Final = (
    *adding.CLAUSES,
    *laws.CLAUSES,
    *windows.CLAUSES,
    *pairs.CLAUSES,
    *compaction.CLAUSES,
    *contexts.CLAUSES,
    *recency.CLAUSES,
    *large_metadata.CLAUSES,
    *tokens.CLAUSES,
    *replacing.CLAUSES,
    *deletion.CLAUSES,
    *watch.CLAUSES,
)
