"""Prints the contract as a page: `python -m stowfast.testing > docs/design/contract.md`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from stowfast.testing import ARTIFACT_STORE, BACKEND, MESSAGE_STORE, STORES, TASK_STATE_STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast.testing import Clause

PARTS: tuple[tuple[str, str, tuple[Clause[Any], ...]], ...] = (
    ("The stores", "Promises of the stores that `stowfast.open(url)` returns, on every backend.", STORES),
    ("A backend", "Promises of every backend.", BACKEND),
    ("A message store", "Any class with `add_message` and `get_messages`.", MESSAGE_STORE),
    ("An artifact store", "Any class with `create` and `get`.", ARTIFACT_STORE),
    ("A task state store", "Any class with `save` and `load`.", TASK_STATE_STORE),
)


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# The contract"
    yield ""
    yield "Each sentence is the docstring of a *clause*: a function of `stowfast.testing` that a backend or store"
    yield "passes or fails. For each clause the tests have a backend or store that is broken on purpose and fails it."
    yield "`python -m stowfast.testing` generates this page. To check a backend of yours: `stowfast check URL`."
    for title, intro, clauses in PARTS:
        yield ""
        yield f"## {title}"
        yield ""
        yield intro
        yield ""
        for clause in clauses:
            yield f"- {' '.join((inspect.getdoc(clause) or '').split())} `{clause.__name__}`"


if __name__ == "__main__":
    print("\n".join(page()))  # noqa: T201 - the page goes to stdout
