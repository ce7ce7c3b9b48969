"""`stowfast check`: runs every clause of the contract on a backend, and removes all its data.

For a SQLite file it tests a new one in a folder beside it: the file itself stays as it is. Elsewhere it tests
below a random prefix. A stream with the name of the prefix is its mark: the next check removes what a killed one left.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import sys
import tempfile
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast import Stores, testing
from stowfast.abc import Change, Query
from stowfast.cli.terminal import many
from stowfast.cli.urls import BUCKETS, opened, sqlite_path, sqlite_url
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from stowfast.abc import Backend
    from stowfast.cli.terminal import Screen
    from stowfast.testing import Clause, Result

    Group = tuple[tuple[Clause[Any], ...], Callable[[Backend], Any]]

__all__ = ["Report", "check", "print_report"]

_PAGE: Final = 1_000
_WHY: Final = 300
_LOCK: Final = "check.lock"
_MARK: Final = re.compile(r"check-[0-9a-f]{16}", re.ASCII)
"""The name of the mark of a check. All its streams begin with it and a slash, as no stream of a store does."""
_ABANDONED: Final = 3_600 * 1_000_000
"""Microseconds. Each clause renews the mark, so the check of an older mark runs no more."""


class Report(NamedTuple):
    """The results by group, the number of streams removed afterwards, and a sentence about the traces.

    The number has no streams of an earlier check; the sentence has.
    """

    groups: dict[str, list[Result]]
    removed: int
    traces: str

    @property
    def failed(self) -> list[Result]:
        """The failed clauses."""
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
        return {"passed": not self.failed, "clauses": clauses, "removed": self.removed, "traces": self.traces}


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
    """Run every clause on a backend. All data of the run is removed, also after an error or a cancellation.

    Data of a killed run is removed by the first check an hour later, by the clock of the backend.
    """
    mark = f"check-{secrets.token_hex(8)}"
    prefix = f"{mark}/"
    with _scratch(url) as tested:
        stores = await opened(tested)
        # A second opening of `memory:` does not show the data of the first.
        shared = url.partition(":")[0] == "memory"
        found: dict[str, list[Result]] = {}
        removed = earlier = 0
        try:
            with suppress(Exception):  # a backend in the making: its clauses say what it cannot
                earlier = await _remove_abandoned(stores.backend)
            for clauses, face in groups():
                for clause in clauses:
                    advance(clause.__name__)
                    with suppress(Exception):
                        await stores.backend.commit(mark, Change(note=b"a check of Stowfast runs"))
                    make = _maker(tested, stores.backend if shared else None, prefix, face)
                    title = (sys.modules[clause.__module__].__doc__ or clause.__module__).partition("\n")[0]
                    found.setdefault(title.partition(":")[0].rstrip("."), []).extend(await testing.run([clause], make))
        finally:
            try:
                removed = await _clean(stores.backend, prefix)
                await stores.backend.commit(mark, Change(delete=True))
            finally:
                await stores.close()
    return Report(found, removed, _traces(url, removed, earlier))


def _traces(url: str, removed: int, earlier: int) -> str:
    if sqlite_path(url) is not None:
        return "the test had a file of its own, which was removed"
    told = f"removed what it wrote: {many(removed, 'stream')}"
    if earlier:
        told += f", and of a check that was killed: {many(earlier, 'stream')}"
    scheme = url.partition(":")[0].lower()
    if scheme == "postgresql":
        told += (
            ". Contents without a link, about 40 MB, stay for a day, and a row of each stream for a week: then "
            "`stowfast gc --yes` removes them. The tables keep their size until the next vacuum. To be rid of all, "
            "give check a schema of its own, and drop it afterwards"
        )
    if scheme in BUCKETS:
        told += (
            ". Contents without a link, about 40 MB, stay for a day: then `stowfast gc --yes` removes them. Of each "
            "stream an object of some hundred bytes stays for good, so that no late writer brings it back. To be rid "
            "of all, give check a prefix of its own in the bucket, and delete everything below it afterwards"
        )
    return told


@contextmanager
def _scratch(url: str) -> Iterator[str]:
    """Yield the URL to test. In place of a SQLite file it names a new one, in a folder beside it, removed at the end.

    The folder of a killed check is found by its name and its free lock, and removed by the next check.
    """
    path = sqlite_path(url)
    if path is None or not path.name:
        yield url
        return
    if not path.parent.is_dir():
        raise InvalidError(f"{path}: the folder {path.parent} does not exist: create it first")
    _remove_earlier(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{path.name}.check-new-", dir=path.parent))
    except OSError as error:
        raise InvalidError(f"check needs a folder beside {path}: {path.parent}: {error.strerror}") from None
    try:
        with (folder / _LOCK).open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Renamed with its lock held: so another check never takes it for the remains of a killed one.
            folder = folder.rename(path.with_name(f"{path.name}.check-{secrets.token_hex(4)}"))
            _, mark, options = url.partition("?")
            yield sqlite_url(folder / "check.db") + mark + options
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_earlier(path: Path) -> None:
    pattern = re.compile(re.escape(path.name) + r"\.check-[0-9a-f]{8}")
    for name in os.listdir(path.parent):
        folder = path.with_name(name)
        lock = folder / _LOCK
        ours = pattern.fullmatch(name) and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
        if ours and lock.is_file():
            with lock.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # that check still runs
                shutil.rmtree(folder, ignore_errors=True)


def _maker(
    url: str, shared: Backend | None, prefix: str, face: Callable[[Backend], Any]
) -> Callable[[], AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        backend = testing.Shared(shared) if shared is not None else (await opened(url)).backend
        try:
            yield face(testing.Prefixed(backend, prefix))
        finally:
            await backend.close()

    return make


async def _remove_abandoned(backend: Backend) -> int:
    """Remove the streams of checks that were killed, and return their number. Their marks go last."""
    removed, after = 0, None
    before = await backend.now() - _ABANDONED
    marks: list[str] = []
    while True:
        page = await backend.streams(Query("check-", limit=_PAGE, after=after))
        marks += [one.name for one in page.streams if one.updated_at < before and _MARK.fullmatch(one.name)]
        if (after := page.after) is None:
            break
    for mark in marks:
        removed += await _clean(backend, f"{mark}/")
        await backend.commit(mark, Change(delete=True))
    return removed


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


def print_report(screen: Screen, url: str, report: Report) -> None:
    """Print a line for each clause, the error of each failure, and the total."""
    screen.print(f"Does {url} keep its promises?", "bold")
    for title, results in report.groups.items():
        screen.print()
        screen.print(title, "bold")
        for result in results:
            why = "" if result.error is None else f"{type(result.error).__name__}: {result.error}"
            sentence = result.sentence or result.name
            screen.verdict(result.passed, sentence, result.seconds, screen.short(why, _WHY))
    clauses = sum(map(len, report.groups.values()))
    seconds = sum(result.seconds for results in report.groups.values() for result in results)
    screen.print()
    if failed := report.failed:
        screen.print(f"{many(clauses, 'clause')}, {len(failed):,} FAILED, in {seconds:.1f} s", "bold red")
        for result in failed:
            screen.print(f"  {result.name}", "red")
    else:
        screen.print(f"{many(clauses, 'clause')}, all kept, in {seconds:.1f} s", "bold green")
    screen.print(report.traces, "dim")
