"""The scopes of a backend with their counts, for `stowfast ls --scopes`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from stowfast.abc import Query
from stowfast.cli.show.listing import print_list
from stowfast.cli.terminal import many
from stowfast.scopes import some_scopes, split_name

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.cli.terminal import Screen

__all__ = ["Counts", "counted_scopes", "elsewhere", "print_scopes"]

Counts: TypeAlias = dict[tuple[str, ...], Counter[str]]
"""The streams of each scope, by kind. A scope inside another has the names of both."""

_PAGE: Final = 999
"""A LIST of a bucket tells 1,000 keys: those of a page, and one more."""
_NOUNS: Final = {"artifacts": "artifact", "tasks": "task", "documents": "document"}


async def counted_scopes(backend: Backend) -> Counts:
    """Return all scopes in a backend, each before those inside it.

    Reads the names of all streams, and no head: in a bucket one request for each thousand.
    """
    found: Counts = {}
    after = None
    while True:
        page = await backend.streams(Query("", after=after, limit=_PAGE))
        for one in page.streams:
            scopes, kind, _ = split_name(one.name)
            for length in range(1, len(scopes) + 1):  # a scope with nothing but scopes in it is one, too
                found.setdefault(scopes[:length], Counter())
            if scopes:
                found[scopes][kind] += 1
        after = page.after
        if after is None:
            return {scopes: found[scopes] for scopes in sorted(found)}


def print_scopes(screen: Screen, found: Counts) -> None:
    """Print a line for each scope; those inside it are indented below."""
    rows: list[tuple[str, ...]] = [("scope", "conversations", "beside them")]
    for names, counts in found.items():
        others = [
            many(counts[kind], _NOUNS.get(kind, f"{kind} stream")) for kind in sorted(counts) if kind != "messages"
        ]
        rows.append(("  " * (len(names) - 1) + names[-1], f"{counts['messages']:,}", ", ".join(others)))
    print_list(screen, rows, "scopes", None)


async def elsewhere(backend: Backend) -> str:
    """Return a hint for the reader of a list without anything, if there are scopes; else nothing."""
    if not (names := await some_scopes(backend)):
        return ""
    return f"but there are scopes, as {names[0]}: `stowfast ls --scopes` lists them, --scope NAME looks into one"
