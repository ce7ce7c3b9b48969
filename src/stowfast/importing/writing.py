"""The import of streams into a backend: each once, however often the import is called or killed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from stowfast.abc import KEEP, Change, Entry, Head, Origin, Window
from stowfast.errors import ConflictError, DamagedError, InvalidError, StowfastError, UnavailableError
from stowfast.moving import Difference
from stowfast.moving.blobs import with_blob
from stowfast.names import MIN_MOMENT
from stowfast.stores.artifacts.digest import CHUNK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from stowfast.abc import Backend
    from stowfast.importing.streams import Found, SourceEntry, SourceStream
    from stowfast.moving import Copied

__all__ = ["StreamWriter"]

_TOGETHER: Final = 64
_PART_BYTES: Final = 16 * 2**20
_PART_ENTRIES: Final = 10_000
_MAX_ATTEMPTS: Final = 20
_REVISIONS: Final = 2**20
"""Revisions for each entry. So an import knows a stream as it left it: after a change by anybody else the two numbers
do not fit each other."""


class _DifferentError(Exception):
    """The stream cannot be imported: its reason."""


@dataclass
class _Begun:
    """A stream with the entries read from it and not yet written."""

    stream: SourceStream
    part: list[SourceEntry]
    ended: bool
    position: int = 0
    """Of the first entry of the part."""

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def stop(self) -> int:
        return self.position + len(self.part)

    @property
    def size(self) -> int:
        """Bytes of the part and of the content beside it."""
        return sum(len(data) for _, data in self.part) + len(self.stream.content or b"")


class StreamWriter:
    """Writes streams into a backend, with positions and times of their own.

    A stream has the same incarnation and positions in each import. So a repeat compares the entries, and
    adds the rest. A changed stream is left as it is.

    Args:
        done: counts.
        report: is called after each step.
    """

    def __init__(self, backend: Backend, done: Copied, report: Callable[[Copied], None]) -> None:
        self._backend = backend
        self._done = done
        self._report = report
        self._now = 0
        self._end: StowfastError | None = None

    async def write(self, streams: Iterator[Found]) -> None:
        """Write all streams. Each one is complete, or named in `Copied.differences`.

        Raises:
            DamagedError: the source cannot be read further. All streams before are written.
            UnavailableError: the same.
        """
        self._now = await self._backend.now()
        while batch := await asyncio.to_thread(self._batch, streams):
            await self._write_batch([one for one in batch if isinstance(one, _Begun)])
            self._report(self._done)
            if self._end is not None:
                break
        if self._end is not None:
            raise self._end

    def _batch(self, streams: Iterator[Found]) -> list[_Begun | Difference]:
        """Read the next streams. Only the last one may have more entries than are read."""
        batch: list[_Begun | Difference] = []
        try:
            self._fill(batch, streams)
        except (DamagedError, UnavailableError) as error:
            self._end = error  # what was read before it is written first
        return batch

    def _fill(self, batch: list[_Begun | Difference], streams: Iterator[Found]) -> None:
        size = 0
        for found in islice(streams, _TOGETHER):
            self._done.selected += 1
            if isinstance(found, Difference):
                self._done.differences.append(found)
                batch.append(found)
                continue
            try:
                begun = _Begun(found, *_part_of(found.entries))
            except InvalidError as error:
                self._done.differences.append(Difference(found.name, str(error)))
                batch.append(self._done.differences[-1])
                continue
            batch.append(begun)
            size += begun.size
            if not begun.ended or size > _PART_BYTES:
                break

    async def _write_batch(self, batch: list[_Begun]) -> None:
        """Write streams that are new here together, the others one by one."""
        heads = await self._backend.heads([one.name for one in batch])
        whole = [one for one, head in zip(batch, heads, strict=True) if head is None and one.ended]
        names = [one.name for one in whole]
        whole = [one for one in whole if names.count(one.name) == 1 and one.stream.content is None]
        alone = [one for one in batch if one not in whole]
        changes = [(one.name, self._change(one, None)) for one in whole]
        for one, outcome in zip(whole, await self._backend.commit_many(changes), strict=True):
            if isinstance(outcome, ConflictError):
                alone.append(one)
            elif isinstance(outcome, InvalidError):
                self._done.differences.append(Difference(one.name, str(outcome)))
            elif isinstance(outcome, StowfastError):
                raise outcome
            else:
                self._count(one)
                self._done.streams += 1
        for one in alone:
            try:
                wrote = await self._write_alone(one)
            except (_DifferentError, InvalidError) as error:
                self._done.differences.append(Difference(one.name, str(error)))
                continue
            self._done.streams += wrote
            self._done.already_there += not wrote

    async def _write_alone(self, one: _Begun) -> bool:
        """Write a stream part by part. False: all of it was there."""
        wrote = False
        while True:
            wrote |= await self._write_part(one)
            if one.ended:
                return wrote
            position = one.stop
            one.part, one.ended = await asyncio.to_thread(_part_of, one.stream.entries)
            one.position = position

    async def _write_part(self, one: _Begun) -> bool:
        for _ in range(_MAX_ATTEMPTS):
            (head,) = await self._backend.heads([one.name])
            rest = one if head is None else await self._rest(one, head)
            if rest is None:
                return False
            try:
                await self._backend.commit(one.name, await self._with_blob(rest, self._change(rest, head)))
            except ConflictError:
                continue  # another import is under way: look again
            self._count(rest)
            return True
        raise UnavailableError(f"{one.name!r} changed {_MAX_ATTEMPTS} times meanwhile: import again")

    async def _rest(self, one: _Begun, head: Head) -> _Begun | None:
        """Compare entries with those here, and return the missing ones; None: there are none.

        Raises:
            _DifferentError: the stream is another one here.
        """
        if head.incarnation != one.stream.incarnation:
            raise _DifferentError("another one of this id lives here")
        if one.stream.newest_only:
            return await self._newer(one, head)
        found = await self._backend.read(one.name, Window(one.position, one.stop)) if one.part else None
        for entry in found.entries if found else ():
            if not one.stream.equal(one.part[entry.position - one.position][1], entry.data):
                raise _DifferentError(f"the entry at {entry.position} is another one here: it is left as it is")
        if one.ended and one.stop < head.next and head.revision == head.next * _REVISIONS:
            raise _DifferentError("it has fewer entries in the source now: it is left as it is")
        if one.stop <= head.next:
            return None
        _check_unchanged(one, head)
        return _Begun(one.stream, one.part[head.next - one.position :], one.ended, head.next)

    async def _newer(self, one: _Begun, head: Head) -> _Begun | None:
        found = await self._backend.read(one.name, Window(limit=1, newest=True))
        same = all(one.stream.equal(one.part[0][1], entry.data) for entry in found.entries)
        if same and found.entries and head.note == (one.stream.change.note or b""):
            return None
        _check_unchanged(one, head)
        return _Begun(one.stream, one.part, one.ended, head.next)

    def _change(self, one: _Begun, there: Head | None) -> Change:
        """Return the change that adds a part behind the entries that are there."""
        given, latest = one.stream.change, MIN_MOMENT if there is None else there.updated_at
        entries = []
        first = next((moment for moment, _ in one.part if moment is not None), None)
        for position, (moment, data) in enumerate(one.part, one.position):
            known = self._now if first is None else first if moment is None else moment
            latest = max(latest, min(known, max(self._now, latest)))
            first = latest  # an entry without a time has that of the entry before it
            entries.append(Entry(position, data, latest, None))
        if not entries:
            latest = max(latest, self._now)
        head = Head(
            name=one.name,
            incarnation=one.stream.incarnation,
            first=one.position if one.stream.newest_only else 0 if there is None else there.first,
            next=one.stop,
            length=len(entries),
            base=given.base or 0,
            revision=one.stop * _REVISIONS,
            labels=dict(given.labels or {}),
            note=given.note or b"",
            created_at=there.created_at if there is not None else entries[0].created_at if entries else latest,
            updated_at=latest,
            expires_at=None if given.expires_at == KEEP else given.expires_at,
        )
        change = Change(origin=Origin(head, entries), expect=0 if there is None else there.next)
        if there is None:
            return change
        return change._replace(incarnation=there.incarnation, revision=there.revision)

    async def _with_blob(self, one: _Begun, change: Change) -> Change:
        """Store the content of an artifact, and return the change with its blob."""
        content, origin = one.stream.content, change.origin
        if content is None or origin is None:
            return change

        async def pieces() -> AsyncGenerator[bytes, None]:
            for start in range(0, len(content), CHUNK):
                yield content[start : start + CHUNK]

        blob = await self._backend.write_blob(one.name, pieces())
        (entry,) = origin.entries
        named = Entry(entry.position, with_blob(entry.data, blob), entry.created_at, None)
        return change._replace(origin=origin._replace(entries=[named]), blobs=(blob,))

    def _count(self, one: _Begun) -> None:
        self._done.entries += len(one.part)
        self._done.bytes += one.size


def _check_unchanged(one: _Begun, head: Head) -> None:
    """Check that a stream is as an import left it."""
    expires = head.expires_at is not None and one.stream.change.expires_at == KEEP
    if head.revision != head.next * _REVISIONS or expires:
        raise _DifferentError("it was changed here since an earlier import, and has more in the source: left as it is")


def _part_of(entries: Iterator[SourceEntry]) -> tuple[list[SourceEntry], bool]:
    """Return the next entries, and whether they are the last."""
    part: list[SourceEntry] = []
    size = 0
    for entry in entries:
        part.append(entry)
        size += len(entry[1])
        if size >= _PART_BYTES or len(part) == _PART_ENTRIES:
            return part, False
    return part, True
