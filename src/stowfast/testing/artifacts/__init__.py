"""Clauses of the artifact store."""

from __future__ import annotations

from typing import Final

from stowfast.testing.artifacts import (
    clocks,
    content,
    datasets,
    described,
    laws,
    links,
    live,
    puts,
    reads,
    requests,
    sharing,
    versions,
    writers,
)

ARTIFACTS: Final = (
    *content.CLAUSES,
    *laws.CLAUSES,
    *versions.CLAUSES,
    *sharing.CLAUSES,
    *writers.CLAUSES,
    *reads.CLAUSES,
    *requests.CLAUSES,
    *live.CLAUSES,
    *clocks.CLAUSES,
    *datasets.CLAUSES,
    *links.CLAUSES,
    *puts.CLAUSES,
    *described.CLAUSES,
)
