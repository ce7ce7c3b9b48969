"""Clauses of the document store."""

from __future__ import annotations

from typing import Final

from stowfast.testing.documents import lists, puts

DOCUMENTS: Final = (*puts.CLAUSES, *lists.CLAUSES)
