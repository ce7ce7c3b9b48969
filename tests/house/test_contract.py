"""The contract page has the sentences of the clauses, and the README names existing clauses."""

from __future__ import annotations

import re
from pathlib import Path

from stowfast import testing
from stowfast.testing.__main__ import page

ROOT = Path(__file__).parents[2]


def test_the_contract_page_is_the_clauses() -> None:
    written = (ROOT / "docs" / "design" / "contract.md").read_text(encoding="utf-8")
    assert written == "\n".join(page()) + "\n", "run: python -m stowfast.testing > docs/design/contract.md"


def test_every_promise_of_the_readme_is_a_clause() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    promises = readme.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    names = {clause.__name__ for clause in (*testing.BACKEND, *testing.STORES)}
    for row in rows:
        named = re.findall(r"`(\w+)`", row.rsplit("|", 2)[1])
        assert named, f"no clause: {row}"
        assert set(named) <= names, f"no such clause: {set(named) - names}"
    assert len(rows) >= 8
