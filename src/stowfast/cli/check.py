"""`stowfast check`: runs every clause of the contract on a backend, below a random prefix that it then removes."""

from __future__ import annotations

import secrets
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.table import Table
from rich.text import Text

import stowfast
from stowfast import Stores, testing
from stowfast.abc import Change, Query
from stowfast.cli.terminal import brief, many, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rich.console import Console

    from stowfast.abc import Backend
    from stowfast.testing import Clause, Result

    Group = tuple[tuple[Clause[Any], ...], Callable[[Backend], Any]]

__all__ = ["Report", "check", "print_report"]

_PAGE: Final = 1_000
_WHY: Final = 300


class Report(NamedTuple):
    """The results by group, and the number of streams removed afterwards."""

    groups: dict[str, list[Result]]
    removed: int

    @property
    def failed(self) -> list[Result]:
        """The clauses that failed."""
        return [result for results in self.groups.values() for result in results if not result.passed]

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        clauses = [
            {
                "group": group,
                "name": result.name,
                "sentence": result.sentence,
                "passed": result.passed,
                "milliseconds": round(result.seconds * 1000, 3),
                "error": None if result.error is None else f"{type(result.error).__name__}: {result.error}",
            }
            for group, results in self.groups.items()
            for result in results
        ]
        return {"passed": not self.failed, "clauses": clauses, "removed": self.removed}


def groups() -> list[Group]:
    """Return each list of clauses with a function from a backend to the object under test."""
    return [
        (testing.BACKEND, lambda backend: backend),
        (testing.MESSAGE_STORE, lambda backend: Stores(backend).messages),
        (testing.ARTIFACT_STORE, lambda backend: Stores(backend).artifacts),
        (testing.TASK_STATE_STORE, lambda backend: Stores(backend).tasks),
        (testing.STORES, Stores),
    ]


async def check(url: str, advance: Callable[[str], None]) -> Report:
    """Run every clause on a backend. All data of the run is removed, also after an error or a cancellation."""
    prefix = f"check-{secrets.token_hex(8)}/"
    stores = await stowfast.open(url)
    # A second opening of `memory:` does not show the data of the first.
    shared = url.partition(":")[0] == "memory"
    found: dict[str, list[Result]] = {}
    removed = 0
    try:
        for clauses, face in groups():
            for clause in clauses:
                advance(clause.__name__)
                make = _maker(url, stores.backend if shared else None, prefix, face)
                title = (sys.modules[clause.__module__].__doc__ or clause.__module__).partition("\n")[0]
                found.setdefault(title.partition(":")[0].rstrip("."), []).extend(await testing.run([clause], make))
    finally:
        try:
            removed = await _clean(stores.backend, prefix)
        finally:
            await stores.close()
    return Report(found, removed)


def _maker(
    url: str, shared: Backend | None, prefix: str, face: Callable[[Backend], Any]
) -> Callable[[], AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        backend = testing.Shared(shared) if shared is not None else (await stowfast.open(url)).backend
        try:
            yield face(testing.Prefixed(backend, prefix))
        finally:
            await backend.close()

    return make


async def _clean(backend: Backend, prefix: str) -> int:
    removed = 0
    while True:
        page = await backend.streams(Query(prefix, limit=_PAGE))
        for stream in page.streams:
            await backend.commit(stream.name, Change(delete=True))
        removed += len(page.streams)
        if page.after is None or not page.streams:
            break
    await backend.sweep()
    return removed


def print_report(screen: Console, url: str, report: Report) -> None:
    """Print a line for each clause, the error of each failure, and the total."""
    screen.print(Text(f"Does {plain(url)} keep its promises?", style="bold"))
    for title, results in report.groups.items():
        screen.print()
        screen.print(Text(title, style="bold"))
        table = Table.grid(expand=True, padding=(0, 1))
        table.add_column(width=6)
        table.add_column(ratio=1)
        table.add_column(justify="right", style="dim", no_wrap=True, min_width=8)
        for result in results:
            mark = Text("ok", style="green") if result.passed else Text("FAILED", style="bold red")
            table.add_row(mark, Text(result.sentence or result.name), f"{result.seconds * 1000:,.0f} ms")
            if result.error is not None:
                why = f"{type(result.error).__name__}: {result.error}"
                table.add_row("", Text(brief(why, _WHY), style="red", overflow="fold"), "")
        screen.print(table)
    clauses = sum(map(len, report.groups.values()))
    seconds = sum(result.seconds for results in report.groups.values() for result in results)
    screen.print()
    if failed := report.failed:
        screen.print(Text(f"{many(clauses, 'clause')}, {len(failed):,} FAILED, in {seconds:.1f} s", style="bold red"))
        for result in failed:
            screen.print(Text(f"  {result.name}", style="red", overflow="fold"))
    else:
        screen.print(Text(f"{many(clauses, 'clause')}, all kept, in {seconds:.1f} s", style="bold green"))
    screen.print(
        Text(f"removed what it wrote: {many(report.removed, 'stream')} below a prefix of its own", style="dim")
    )
