"""Prints the contract as a page: `python -m stowfast.testing > docs/contract.md`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from stowfast.testing import ARTIFACT_STORE, BACKEND, MESSAGE_STORE, STORES, TASK_STATE_STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast.testing import Clause

PARTS: tuple[tuple[str, str, tuple[Clause[Any], ...]], ...] = (
    ("The three stores", "What `stowfast.open(url)` gives, in every place.", STORES),
    ("A place", "What every backend below them promises.", BACKEND),
    ("A message store", "Any class with `add_message` and `get_messages`.", MESSAGE_STORE),
    ("An artifact store", "Any class with `create` and `get`.", ARTIFACT_STORE),
    ("A task state store", "Any class with `save` and `load`.", TASK_STATE_STORE),
)


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# The contract"
    yield ""
    yield "Every sentence here is the docstring of a *clause*, a function in `stowfast.testing` that a place passes or"
    yield "fails. Each has been seen to say no: the tests hold a broken place or store against it that fails it."
    yield "This page is made from them by `python -m stowfast.testing`. To ask a place of yours: `stowfast check URL`."
    for title, what, clauses in PARTS:
        yield ""
        yield f"## {title}"
        yield ""
        yield what
        yield ""
        for clause in clauses:
            yield f"- {' '.join((inspect.getdoc(clause) or '').split())} `{clause.__name__}`"


if __name__ == "__main__":
    print("\n".join(page()))  # noqa: T201 - printing is what it is for
