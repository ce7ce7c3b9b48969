"""The copy of a place: small new streams many at a time, the others one by one."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeAlias

from stowfast.abc import Backend, Change, Origin, Slice, Window
from stowfast.backends.sqlite.rights import path_of
from stowfast.errors import ConflictError, DamagedError, StowfastError, UnavailableError
from stowfast.moving.blobs import bare_head, blob_in
from stowfast.moving.one_place import below
from stowfast.moving.pairs import paired
from stowfast.moving.results import Copied, Difference, reporter
from stowfast.moving.selection import EVERYTHING, Selection, check_selection, count_total, kind_of, listed
from stowfast.moving.streams import DifferentError, StreamCopy
from stowfast.registry import connect, find
from stowfast.stores import Stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from stowfast.abc import Listed

__all__ = ["READING", "Place", "copy", "mirror", "opened_place"]

Place: TypeAlias = "str | Stores"
"""A URL, or open stores: those of a whole place or of one scope."""

_TOGETHER: Final = 64
_BETWEEN_REPORTS: Final = 1_000
"""Streams without work between two calls of `progress`."""
_SMALL_BYTES: Final = 2**20
"""Bytes of a stream up to which it is copied together with others."""
_WHOLE: Final = Window(start=0, max_bytes=_SMALL_BYTES)


READING: Final[Mapping[str, Mapping[str, bool]]] = {
    **{scheme: {"read_only": True} for scheme in ("sqlite", "s3", "gs", "az")},
    "postgresql": {"migrate": False},
}
"""The options of a scheme for a place that is only read."""


async def opened_place(place: Place, stack: AsyncExitStack, *, reading: bool = False) -> Backend:
    """Return the backend of a place. The stack closes it if it is opened here."""
    if isinstance(place, Stores):
        return place.backend
    _, _, given = find(place)
    options = READING.get(place.partition(":")[0].lower(), {}) if reading else {}
    backend = await connect(place, **{name: value for name, value in options.items() if name not in given})
    stack.push_async_callback(backend.close)
    return backend


async def copy(
    source: Place,
    target: Place,
    *,
    selection: Selection = EVERYTHING,
    into: str | None = None,
    check: bool = True,
    replace: bool = False,
    dry_run: bool = False,
    progress: Callable[[Copied], None] | None = None,
) -> Copied:
    """Copy streams to another place as they are: positions, times, incarnations, op_ids, versions and blobs.

    A repeat copies only new data. After an interruption, a kill or a lost answer call it again: no state is
    kept. A stream with changes at the target is named in `Copied.differences` and stays as it is. Writers at
    the source may go on: each stream is copied as it is at some moment of the call. What was deleted at the source
    stays at the target. Links to content are not copied, since a URL leads to the old place.

    Args:
        source: a URL, or stores.
        target: a URL, or stores.
        selection: the streams to copy. All, by default.
        into: the scope at the target to copy into. In one and the same place its own streams are left out.
        check: read each stream back from the target and compare it, blobs too.
        replace: a stream begun again at the source replaces the earlier one at the target.
        dry_run: only count, by the heads of both places and the entries to copy. Nothing is written.
        progress: called with the counts so far, after each step.

    Returns:
        The counts. `complete` tells whether the target has everything.

    Raises:
        InvalidError: source and target are one place, or an argument is wrong.
        UnavailableError: a place gives no answer. Repeat the call: it goes on where this one ended.
    """
    check_selection(selection)
    report = reporter(progress)
    async with AsyncExitStack() as stack:
        ours = await opened_place(source, stack, reading=True)
        theirs = await opened_place("memory:" if dry_run and _is_absent(target) else target, stack)
        if into is not None:
            theirs = Stores(theirs).within(into).backend
        apart = await below(source, ours, target, theirs)
        mover = _Mover(ours, theirs, check=check, replace=replace, report=report, dry_run=dry_run, apart=apart)
        await mover.run(selection)
        return mover.done


def _is_absent(place: Place) -> bool:
    """Say whether a place is a file that would be made by an opening: as empty as memory."""
    if not isinstance(place, str) or place.partition(":")[0].lower() != "sqlite":
        return False
    path = path_of(f"sqlite:{place.partition('?')[0].partition(':')[2]}")
    return not os.path.exists(path) or os.path.getsize(path) == 0


async def mirror(source: Backend, target: Backend, *, check: bool, report: Callable[[Copied], None]) -> Copied:
    """Copy everything, and delete at the target what the source does not have."""
    mover = _Mover(source, target, check=check, replace=True, report=report)
    await mover.run(EVERYTHING)
    await mover.delete_others()
    return mover.done


class _Mover:
    def __init__(
        self,
        source: Backend,
        target: Backend,
        *,
        check: bool,
        replace: bool,
        report: Callable[[Copied], None],
        dry_run: bool = False,
        apart: str = "",
    ) -> None:
        self._source = source
        self._target = target
        self._check = check
        self._replace = replace
        self._report = report
        self._dry_run = dry_run
        self._apart = apart
        self.done = Copied()

    async def run(self, selection: Selection) -> None:
        """Copy the selected streams, or count the work."""
        # A `where` is asked of the heads, which are read once: without it the names alone are counted.
        names = self._ours(selection._replace(where=None), heads=False)
        await count_total(names, self.done, self._report, told=not selection.where)
        waiting: list[str] = []
        async for one, there in paired(self._ours(selection), self._theirs(selection)):
            if one is None:
                continue
            self.done.selected += 1
            if one.damaged or one.head is None:
                self._differs(one.name, "it is damaged at the source")
            elif there is None:
                waiting.append(one.name)
            elif bare_head(there.head) == bare_head(one.head):
                self.done.already_there += 1
            else:
                await self._copy_alone(one.name)
            if len(waiting) >= _TOGETHER:
                await self._copy_together(waiting)
                waiting = []
            elif self.done.selected % _BETWEEN_REPORTS == 0:
                self._report(self.done)
        if waiting:
            await self._copy_together(waiting)
        self._report(self.done)

    async def delete_others(self) -> None:
        """Delete the streams of the target without a counterpart at the source."""
        sides = listed(self._source, heads=False), listed(self._target, heads=False)
        async for one, there in paired(*sides):
            if one is None and there is not None:
                await self._target.commit(there.name, Change(delete=True))
                self.done.deleted += 1
                self._report(self.done)

    async def _ours(self, selection: Selection, *, heads: bool = True) -> AsyncIterator[Listed]:
        async for one in listed(self._source, selection, heads=heads):
            if not self._apart or not one.name.startswith(self._apart):
                yield one

    async def _theirs(self, selection: Selection) -> AsyncIterator[Listed]:
        async for one in listed(self._target, Selection(prefix=selection.prefix)):
            if not selection.kinds or kind_of(one.name) in selection.kinds:
                yield one

    async def _copy_together(self, names: Sequence[str]) -> None:
        """Copy streams that are new to the target. Large ones are copied alone."""
        small, alone = await self._read_small(names)
        written = list(small) if self._dry_run else await self._write(small, alone)
        for name in written:
            self.done.streams += 1
            self.done.entries += len(small[name].entries)
            self.done.bytes += sum(len(entry.data) for entry in small[name].entries)
        if self._check and written and not self._dry_run:
            reads = [(name, _WHOLE) for name in written]
            for name, there in zip(written, await self._target.read_many(reads), strict=True):
                self._compare(name, small[name], there)
        self._report(self.done)
        for name in alone:
            await self._copy_alone(name)

    async def _write(self, small: Mapping[str, Slice], alone: list[str]) -> list[str]:
        """Write small streams, and return the written ones. The others come to those to copy alone."""
        changes = [(name, await self._change(name, found)) for name, found in small.items()]
        written: list[str] = []
        for name, outcome in zip(small, await self._target.commit_many(changes), strict=True):
            if isinstance(outcome, ConflictError | UnavailableError):
                alone.append(name)
            elif isinstance(outcome, StowfastError):
                raise outcome
            else:
                written.append(name)
        return written

    async def _read_small(self, names: Sequence[str]) -> tuple[dict[str, Slice], list[str]]:
        """Read the streams small enough for one commit, and name the others."""
        small, alone = dict[str, Slice](), list[str]()
        reads = [(name, _WHOLE) for name in names]
        for name, found in zip(names, await self._source.read_many(reads), strict=True):
            if isinstance(found, DamagedError):
                self._differs(name, str(found))
            elif isinstance(found, StowfastError):
                raise found
            elif found.head is None:
                self.done.selected -= 1  # deleted since it was listed
            elif len(found.entries) < found.head.length or self._has_blobs(name, found):
                alone.append(name)
            else:
                small[name] = found
        return small, alone

    async def _change(self, name: str, found: Slice) -> Change:
        assert found.head is not None
        calls = await self._source.remembered(name)
        return Change(origin=Origin(found.head, found.entries, calls), expect=0, cold=kind_of(name) == "tasks")

    def _has_blobs(self, name: str, found: Slice) -> bool:
        return any(blob_in(name, entry.data) is not None for entry in found.entries)

    def _compare(self, name: str, ours: Slice, theirs: Slice | StowfastError) -> None:
        if isinstance(theirs, UnavailableError):
            raise theirs
        if isinstance(theirs, StowfastError):
            self._differs(name, str(theirs))
        elif bare_head(theirs.head) != bare_head(ours.head) or theirs.entries != ours.entries:
            self._differs(name, "it came back different")
        else:
            self.done.checked += 1

    async def _copy_alone(self, name: str) -> None:
        one = StreamCopy(self._source, self._target, name, self.done, replace=self._replace, report=self._report)
        try:
            if self._dry_run:
                self.done.streams += await one.foresee()
                self._report(self.done)
                return
            head = await one.run()
            if head is None:
                self.done.selected -= 1
                return
            if self._check:
                self.done.checked += await one.check(head)
            self.done.streams += 1
        except (DifferentError, DamagedError) as error:
            self._differs(name, str(error))
        self._report(self.done)

    def _differs(self, name: str, reason: str) -> None:
        self.done.differences.append(Difference(name, reason))
