"""Clauses of the message store."""

from __future__ import annotations

from typing import Final

from stowfast.testing.messages import adding, compaction, contexts, deletion, watch, windows

MESSAGES: Final = (
    *adding.CLAUSES,
    *windows.CLAUSES,
    *compaction.CLAUSES,
    *contexts.CLAUSES,
    *deletion.CLAUSES,
    *watch.CLAUSES,
)
